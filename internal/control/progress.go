// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/autobus-io/autobus"
)

// ProgressVersion is the newest form of Progress this build reads and writes.
const ProgressVersion = 1

// Progress is how far a replay is in one partition. Its writer is who has the partition; a former one that does not
// know yet that it was expelled may set it back for a moment, and then events come once more.
type Progress struct {
	Version  int    `json:"version"`
	Offset   int64  `json:"offset"`             // everything of the slice before it is done
	Metadata string `json:"metadata,omitempty"` // what is done behind it, and attempts, as a commit carries them
	Done     bool   `json:"done,omitempty"`
	Lost     bool   `json:"lost,omitempty"` // retention overtook it, and it ended there
}

// ProgressKey is its key in the state log. Names hold no slash.
func ProgressKey(subscription string, epoch uint32, topic string, partition int32) string {
	return replayPrefix(subscription, epoch) + topic + "/" + strconv.Itoa(int(partition))
}

func replayPrefix(subscription string, epoch uint32) string {
	return "replay/" + subscription + "/" + strconv.FormatUint(uint64(epoch), 10) + "/"
}

// Progress returns what was read last; the zero one when there is none. ReasonTypeUnreadable: a newer build wrote it.
func (s *State) Progress(subscription string, epoch uint32, topic string, partition int32) (p Progress, err error) {
	raw, ok := s.Get(ProgressKey(subscription, epoch, topic, partition))
	if !ok {
		return p, nil
	}
	if err = json.Unmarshal(raw, &p); err == nil && p.Version < 1 {
		err = errors.New("it has no version")
	}
	if err == nil && p.Version > ProgressVersion {
		err = fmt.Errorf("it has version %d, this build reads up to %d", p.Version, ProgressVersion)
	}
	if err != nil {
		return Progress{}, autobus.NewError(autobus.ReasonTypeUnreadable,
			"the replay %d of %s in partition %d of %s: %v", epoch, subscription, partition, topic, err).WithCause(err)
	}
	return p, nil
}

// PutProgress stores how far a replay is; Version is filled in. See Put.
func (s *State) PutProgress(ctx context.Context, subscription string, epoch uint32, topic string, partition int32,
	p Progress) error {
	p.Version = ProgressVersion
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return s.Put(ctx, ProgressKey(subscription, epoch, topic, partition), raw)
}

// RemoveProgress removes all that is stored of a replay. Run must be running.
func (s *State) RemoveProgress(ctx context.Context, subscription string, epoch uint32) error {
	return s.removeAll(ctx, replayPrefix(subscription, epoch))
}
