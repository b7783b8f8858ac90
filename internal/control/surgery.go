// SPDX-License-Identifier: Apache-2.0

package control

import (
	"time"

	"github.com/autobus-io/autobus"
)

// Pause says that a subscription hands nothing out until somebody resumes it.
type Pause struct {
	Since time.Time `json:"since"`
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`

	// Stopped is the event without attempts left that stopped the subscription, when it was no operator.
	Stopped *Place `json:"stopped,omitempty"`
}

// Place is where an event stands.
type Place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`

	// Again: it is to be tried once more, and not to be skipped. Only an event that was held before the change is.
	Again  bool   `json:"again,omitempty"`
	Change uint32 `json:"change,omitempty"` // one past the record that the change replaced, as seek epochs are
}

// Replay is a slice of what a subscription reads that it gets once more, beside where it stands.
type Replay struct {
	// Epoch names it, from the same numbers as seek epochs: no two are the same.
	Epoch uint32 `json:"epoch"`

	// From and To are the offsets by topic and partition, as they were found when it was asked for: [from, to).
	From map[string]map[int32]int64 `json:"from"`
	To   map[string]map[int32]int64 `json:"to"`

	Key *string `json:"key,omitempty"` // of the events that it is about; nil = all

	Start   time.Time `json:"start"` // as it was asked for
	End     time.Time `json:"end"`
	By      string    `json:"by"`
	Why     string    `json:"why,omitempty"`
	Created time.Time `json:"created"`
}

// Epoch is the seek epoch of a partition.
func (s *Subscription) Epoch(topic string, partition int32) uint32 {
	if e, ok := s.Epochs[topic][partition]; ok {
		return e
	}
	return s.SeekEpoch
}

// form is 2 for what a build that knows no surgery would get wrong: it would hand out what is paused, and go on where
// it must not. It is 3 for what is pushed: a build that knows no push would lose the endpoint with the next change.
func (s Subscription) form() int {
	if s.Policy.Delivery != (autobus.PolicyDelivery{}) {
		return 3
	}
	waits := s.Policy.OnExhausted == autobus.Hold || s.Policy.OnExhausted == autobus.Stop
	if len(s.Epochs) > 0 || s.Paused != nil || len(s.Skips) > 0 || len(s.Replays) > 0 || waits {
		return 2
	}
	return 1
}
