// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// Actions of a job.
const (
	JobRedrive = "redrive" // deliver them once more
	JobDrop    = "drop"    // they are not wanted any more
	JobEdit    = "edit"    // another letter takes the place of one
)

// Job is what somebody wants done with dead letters. The letters themselves are never touched: which ones it chooses
// stands here, and how far it is in the state log, as JobProgress. A drop and an edit are done by being written.
type Job struct {
	Action       string    `json:"action"`
	Subscription string    `json:"subscription"`
	Made         time.Time `json:"made,omitzero"` // when the subscription was; one of the same name made later is another
	TopicID      string    `json:"topic_id"`      // of the dead letters, hex: in one made anew the numbers begin again

	// Of the letters before End, those that all of these choose which are set.
	End         int64    `json:"end"`
	Numbers     []int64  `json:"numbers,omitempty"` // rising
	IDs         []string `json:"ids,omitempty"`     // of events
	Fingerprint string   `json:"fingerprint,omitempty"`
	Filter      string   `json:"filter,omitempty"`

	// Count is how many it chose when it was made, Sources where the events of a redrive come from, by topic and
	// partition: each is redriven by whoever has its source.
	Count   int64                      `json:"count"`
	Sources map[string]map[int32]int64 `json:"sources,omitempty"`
	Rate    float64                    `json:"rate,omitempty"`   // most letters a second; 0 = as fast as it goes
	Letter  int64                      `json:"letter,omitempty"` // of an edit: the number of the one that counts now

	Actor    string    `json:"actor,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Created  time.Time `json:"created"`
	Canceled bool      `json:"canceled,omitempty"` // what is done stays done
}

// JobProgressVersion is the newest form of JobProgress this build reads and writes.
const JobProgressVersion = 1

// JobProgress is what one owner of a source partition did for a job. Each owner has a key of its own, so that one that
// was expelled cannot take back what its successor wrote: the furthest counts.
type JobProgress struct {
	Version  int       `json:"version"`
	Next     int64     `json:"next"`               // the letters of the source before this number are dealt with
	Redriven int64     `json:"redriven"`           // by this owner
	Repeated int64     `json:"repeated,omitempty"` // whose event was on its way to the subscription already
	Left     []int64   `json:"left,omitempty"`     // numbers of those that could not be, and stay
	Time     time.Time `json:"time"`

	Topic       string `json:"-"`
	Partition   int32  `json:"-"`
	Incarnation uint32 `json:"-"`
}

const jobPrefix = "job/"

func jobKey(id string, p JobProgress) string {
	return jobPrefix + id + "/" + p.Topic + "/" + strconv.Itoa(int(p.Partition)) + "/" +
		strconv.FormatUint(uint64(p.Incarnation), 10)
}

// JobProgress returns what was read last of all jobs, by their ids. ReasonTypeUnreadable: a newer build wrote some.
func (s *State) JobProgress() (map[string][]JobProgress, error) {
	out := map[string][]JobProgress{}
	for key, raw := range s.under(jobPrefix) {
		id, p, err := decodeJobProgress(key, raw)
		if err != nil {
			return nil, autobus.NewError(autobus.ReasonTypeUnreadable, "the progress %s: %v", key, err).WithCause(err)
		}
		out[id] = append(out[id], p)
	}
	return out, nil
}

// PutJobProgress stores what one owner did; Version is filled in. See Put.
func (s *State) PutJobProgress(ctx context.Context, id string, p JobProgress) error {
	p.Version, p.Time = JobProgressVersion, p.Time.UTC()
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return s.Put(ctx, jobKey(id, p), raw)
}

// RemoveJobProgress removes what is stored of a job.
func (s *State) RemoveJobProgress(ctx context.Context, id string) error {
	for key := range s.under(jobPrefix + id + "/") {
		if err := s.Put(ctx, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// under gives the values whose keys begin so.
func (s *State) under(prefix string) map[string][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string][]byte{}
	for key, value := range s.values {
		if strings.HasPrefix(key, prefix) {
			out[key] = value
		}
	}
	return out
}

func decodeJobProgress(key string, raw []byte) (id string, p JobProgress, err error) {
	if err := json.Unmarshal(raw, &p); err != nil {
		return "", p, err
	}
	if p.Version < 1 || p.Version > JobProgressVersion {
		return "", p, fmt.Errorf("it has version %d, this build reads up to %d", p.Version, JobProgressVersion)
	}
	parts := strings.Split(key, "/")
	if len(parts) != 5 {
		return "", p, errors.New("it names no job, topic, partition and incarnation")
	}
	partition, errP := strconv.ParseInt(parts[3], 10, 32)
	incarnation, errI := strconv.ParseUint(parts[4], 10, 32)
	p.Topic, p.Partition, p.Incarnation = parts[2], int32(partition), uint32(incarnation)
	return parts[1], p, errors.Join(errP, errI)
}
