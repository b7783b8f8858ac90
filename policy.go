// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
)

// Policy says what a subscription delivers and how. Its JSON form is the body of PUT /v1/subscriptions/{name}. Only
// Types is required; a zero field means the default that it names.
type Policy struct {
	Types       []string          `json:"types"`                  // types or patterns, see MatchType
	Filter      string            `json:"filter,omitempty"`       // CEL over an event and params; empty = everything
	Params      map[string]string `json:"params,omitempty"`       // what the filter knows as params
	Start       Start             `json:"start"`                  // where it begins, once and for all; default latest
	Order       Order             `json:"order,omitempty"`        // default OrderKey
	Queue       bool              `json:"queue,omitempty"`        // a preset: OrderNone
	Window      *Window           `json:"window,omitempty"`       // of sessions that name none; default 100 events, 1 MiB
	AckWait     Duration          `json:"ack_wait,omitempty"`     // how long a lease lives; default DefaultAckWait
	Retry       RetryPolicy       `json:"retry,omitzero"`         // of what was not acked
	OnExhausted OnExhausted       `json:"on_exhausted,omitempty"` // default ToDeadLetters
	Delivery    PolicyDelivery    `json:"delivery,omitzero"`      // default: workers come and take the events
	Owner       string            `json:"owner,omitempty"`        // whom to tell when it does not go on
}

// Order says which deliveries of a subscription wait for which.
type Order string

// The orders.
const (
	OrderKey       Order = "key"       // one event of a key at a time; events without a key do not wait
	OrderPartition Order = "partition" // one event of a partition at a time
	OrderNone      Order = "none"      // nothing waits
)

// RetryPolicy says when an event that was not acked comes again.
type RetryPolicy struct {
	Backoff     []Duration `json:"backoff,omitempty"`      // before attempt 2, 3, ...; the last repeats; default 1s 10s 1m
	MaxAttempts int        `json:"max_attempts,omitempty"` // 1 to MaxAttempts; default DefaultAttempts
	MaxTime     Duration   `json:"max_time,omitempty"`     // since the first delivery; 0 = only attempts count
}

// OnExhausted says what becomes of an event whose attempts or time ran out.
type OnExhausted string

// What can become of an exhausted event.
const (
	ToDeadLetters OnExhausted = "dlq"  // it goes to dlq.<subscription>, with its reason
	Hold          OnExhausted = "hold" // it waits until an operator acts, and with it what comes after it of its key
	Drop          OnExhausted = "drop" // it is counted and forgotten
	Stop          OnExhausted = "stop" // the whole subscription waits until an operator resumes it
)

// Defaults and bounds of a policy.
const (
	DefaultAckWait  = Duration(30 * time.Second)
	MaxAckWait      = Duration(15 * time.Minute)
	MinAckWait      = Duration(time.Second)
	DefaultEvents   = 100     // of a window
	DefaultBytes    = 1 << 20 // of a window
	DefaultAttempts = 8
	MaxAttempts     = 14 // what four bits of the stored position can count
	MaxRetryDelay   = Duration(7 * 24 * time.Hour)
)

// DefaultBackoff is how long a failed event waits before it comes again.
func DefaultBackoff() []Duration {
	return []Duration{Duration(time.Second), Duration(10 * time.Second), Duration(time.Minute)}
}

// Duration is a time.Duration whose JSON form is a string such as "30s".
type Duration time.Duration

// MarshalJSON writes the duration as time.Duration prints it.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads a string that time.ParseDuration takes.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return NewError(ReasonRequestInvalid, "%s is not a duration", clip(string(b))).
			WithHint(`Write it as "30s" or "1m30s".`)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return NewError(ReasonRequestInvalid, "%q is not a duration", clip(s)).
			WithHint(`Write it as "30s" or "1m30s".`)
	}
	*d = Duration(v)
	return nil
}

// String is the duration as time.Duration prints it.
func (d Duration) String() string { return time.Duration(d).String() }

// Start is where a reader begins. The zero value is the end: only what comes from now on. Its JSON form is "latest",
// "earliest", {"time": "..."} or {"cursors": {"<type>": {"<partition>": <offset>}}}. Beside cursors, "others":
// "earliest" is for a tail that goes on: what they do not name came since.
type Start struct {
	Earliest bool
	Time     time.Time                  // the first record at or after it; wins over Earliest unless zero
	Cursors  map[string]map[int32]int64 // first offset by type, partition; others: the end, with Earliest the start
}

// IsZero reports whether it is the end.
func (s Start) IsZero() bool { return !s.Earliest && s.Time.IsZero() && len(s.Cursors) == 0 }

// MarshalJSON writes the form that UnmarshalJSON reads.
func (s Start) MarshalJSON() ([]byte, error) {
	switch {
	case len(s.Cursors) > 0 && s.Earliest:
		return json.Marshal(map[string]any{"cursors": s.Cursors, "others": "earliest"})
	case len(s.Cursors) > 0:
		return json.Marshal(map[string]any{"cursors": s.Cursors})
	case !s.Time.IsZero():
		return json.Marshal(map[string]any{"time": s.Time})
	case s.Earliest:
		return []byte(`"earliest"`), nil
	}
	return []byte(`"latest"`), nil
}

// UnmarshalJSON reads a start; anything else is ReasonRequestInvalid.
func (s *Start) UnmarshalJSON(b []byte) error {
	invalid := NewError(ReasonRequestInvalid, "start %s is no place to begin", clip(string(b))).
		WithHint(`Use "latest", "earliest", {"time": "2026-01-31T15:04:05Z"} or {"cursors": {"<type>": {"0": 17}}}.`)
	*s = Start{}
	var word string
	if json.Unmarshal(b, &word) == nil {
		s.Earliest = word == "earliest"
		if !s.Earliest && word != "latest" {
			return invalid
		}
		return nil
	}
	var o struct {
		Time    *time.Time                 `json:"time"`
		Cursors map[string]map[int32]int64 `json:"cursors"`
		Others  string                     `json:"others"`
	}
	if err := StrictJSON(b, &o); err != nil || (o.Time == nil) == (o.Cursors == nil) ||
		o.Others != "" && (o.Others != "earliest" || o.Cursors == nil) {
		return invalid
	}
	if o.Time != nil {
		if o.Time.IsZero() {
			return invalid
		}
		s.Time = *o.Time
		return nil
	}
	if len(o.Cursors) == 0 {
		return invalid
	}
	for _, partitions := range o.Cursors {
		for p, at := range partitions {
			if p < 0 || at < 0 {
				return invalid
			}
		}
	}
	s.Cursors, s.Earliest = o.Cursors, o.Others != ""
	return nil
}

// StrictJSON reads one JSON document into v and refuses fields that v does not have.
func StrictJSON(b []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // More takes a bracket too many for an end
		return NewError(ReasonRequestInvalid, "something follows the JSON document")
	}
	return nil
}

// ValidSubscription reports whether name can name a subscription: [a-z][a-z0-9._-]{0,120}.
func ValidSubscription(name string) bool {
	if name == "" || len(name) > maxSubscriptionBytes || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	})
}

const maxSubscriptionBytes = 121
