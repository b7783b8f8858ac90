// SPDX-License-Identifier: Apache-2.0

package control

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/autobus-io/autobus"
)

// Version is the newest form of records this build reads and writes. The envelope (kind, name, prev) keeps its
// meaning in every version, so that an older build follows the log even where it cannot read a value.
const Version = 3

// former is a value whose form depends on what it says: what an older build would pass over without harm it may still
// read.
type former interface{ form() int }

// formOf is the version of a value: 1 unless the value says more.
func formOf(value any) int {
	if f, ok := value.(former); ok {
		return f.form()
	}
	return 1
}

// None is the Prev of a record that replaces nothing.
const None = -1

// Record is one change of control state, and at the same time the audit of it.
type Record struct {
	Offset  int64           // where it stands in the log; None = never written
	Version int             // of the value
	Kind    string          // what sort of thing: route, spec, token, ...
	Name    string          // which of its kind
	Prev    int64           // offset of the record it replaces
	Actor   string          // who
	Reason  string          // why, as the actor said
	Time    time.Time       // when, by the writer's clock
	Value   json.RawMessage // what it is now; nil = removed
}

// Removed reports whether the record takes its thing away.
func (r Record) Removed() bool { return r.Value == nil }

// NewRecord makes a record that sets a value.
func NewRecord(kind, name string, prev int64, value any) (Record, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return Record{}, fmt.Errorf("control record %s %s: %w", kind, name, err)
	}
	return Record{Offset: None, Version: formOf(value), Kind: kind, Name: name, Prev: prev, Value: raw}, nil
}

// Decode reads a record's value. A value written by a newer build is ReasonTypeUnreadable: whatever it governs must
// be refused, not guessed.
func Decode[T any](r Record) (T, error) {
	var v T
	if r.Version > Version {
		return v, autobus.NewError(autobus.ReasonTypeUnreadable,
			"the %s record of %s at offset %d has version %d, this build reads up to %d", r.Kind, r.Name, r.Offset,
			r.Version, Version)
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return v, autobus.NewError(autobus.ReasonTypeUnreadable, "the %s record of %s at offset %d: %v", r.Kind, r.Name,
			r.Offset, err).WithCause(err)
	}
	return v, nil
}

// stored is the form in the log.
type stored struct {
	Version int             `json:"version"`
	Kind    string          `json:"kind"`
	Name    string          `json:"name"`
	Prev    int64           `json:"prev"`
	Change  string          `json:"change"` // random; by it a writer knows its own record again
	Actor   string          `json:"actor,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Time    time.Time       `json:"time"`
	Value   json.RawMessage `json:"value,omitempty"`
}

func encode(r Record, change string) ([]byte, error) {
	return json.Marshal(stored{r.Version, r.Kind, r.Name, r.Prev, change, r.Actor, r.Reason, r.Time.UTC(), r.Value})
}

func decode(offset int64, raw []byte) (r Record, change string, err error) {
	var s stored
	if err := json.Unmarshal(raw, &s); err != nil {
		return Record{}, "", err
	}
	if s.Version < 1 || s.Kind == "" || s.Name == "" {
		return Record{}, "", fmt.Errorf("no version, kind or name")
	}
	return Record{offset, s.Version, s.Kind, s.Name, s.Prev, s.Actor, s.Reason, s.Time, s.Value}, s.Change, nil
}

func newChange() string { return rand.Text() }
