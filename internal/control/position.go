// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// PositionVersion is the newest form of Position this build reads and writes.
const PositionVersion = 1

// Position is a copy of how far a subscription is in one partition, because Kafka forgets what an idle group has
// committed.
type Position struct {
	Version     int       `json:"version"`
	Offset      int64     `json:"offset"`             // everything before it is done
	SeekEpoch   uint32    `json:"seek_epoch"`         // see Subscription; under another one it does not count
	Incarnation uint32    `json:"incarnation"`        // of the partition; the next owner takes a higher one
	Time        time.Time `json:"time"`               // when it was copied, by the writer's clock
	TopicID     string    `json:"topic_id,omitempty"` // hex; see Subscription.TopicIDs
}

const positionPrefix = "position/"

// PositionKey is the key of the copy in the state log. None of the three parts can hold a slash.
func PositionKey(subscription, topic string, partition int32) string {
	return positionPrefix + subscription + "/" + topic + "/" + strconv.Itoa(int(partition))
}

// Position returns the copy that was read last. ReasonTypeUnreadable: a newer build wrote it, or it is no Position at
// all; it says nothing then, which is not the same as that there is none.
func (s *State) Position(subscription, topic string, partition int32) (p Position, ok bool, err error) {
	raw, ok := s.Get(PositionKey(subscription, topic, partition))
	if !ok {
		return Position{}, false, nil
	}
	if p, err = decodePosition(raw); err != nil {
		return Position{}, false, autobus.NewError(autobus.ReasonTypeUnreadable,
			"the position of %s in partition %d of %s: %v", subscription, partition, topic, err).WithCause(err)
	}
	return p, true, nil
}

// PutPosition stores a copy; Version is filled in. See Put.
func (s *State) PutPosition(ctx context.Context, subscription, topic string, partition int32, p Position) error {
	p.Version, p.Time = PositionVersion, p.Time.UTC()
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return s.Put(ctx, PositionKey(subscription, topic, partition), raw)
}

// RemovePositions removes all copies of a subscription and what is stored of its replays, so that another one of the
// same name does not begin where this one ended. Run must be running.
func (s *State) RemovePositions(ctx context.Context, subscription string) error {
	return errors.Join(s.removeAll(ctx, positionPrefix+subscription+"/"), s.removeAll(ctx, "replay/"+subscription+"/"))
}

// removeAll removes what has keys that begin so.
func (s *State) removeAll(ctx context.Context, prefix string) error {
	if err := s.Barrier(ctx); err != nil {
		return err
	}
	var keys []string
	s.mu.RLock()
	for key := range s.values {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	s.mu.RUnlock()
	slices.Sort(keys)
	for _, key := range keys {
		if err := s.Put(ctx, key, nil); err != nil {
			return err
		}
	}
	return nil
}

func decodePosition(raw []byte) (Position, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return Position{}, err
	}
	if head.Version > PositionVersion {
		return Position{}, errors.New("it has version " + strconv.Itoa(head.Version) + ", this build reads up to " +
			strconv.Itoa(PositionVersion))
	}
	var p Position
	if err := json.Unmarshal(raw, &p); err != nil {
		return Position{}, err
	}
	if p.Version < 1 || p.Offset < 0 {
		return Position{}, errors.New("it has no version or a negative offset")
	}
	return p, nil
}
