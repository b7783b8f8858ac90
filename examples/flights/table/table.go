// SPDX-License-Identifier: Apache-2.0

// Package table counts flights, cancellations and minutes of departure delay per carrier, each event once, however
// often it was read. It refuses to know where events come from, and it is not used for the table of the file itself.
package table

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// The types of the events.
const (
	Departed  = "flights.flight.departed.v1"
	Cancelled = "flights.flight.cancelled.v1"
)

// Flight is what the table needs of an event's data.
type Flight struct {
	Carrier  string `json:"carrier"`
	DepDelay int    `json:"dep_delay"` // minutes, absent when the flight was cancelled
}

// Line is how a worker notes a flight.
type Line struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Flight
}

// Table grows with each event. Its zero value is an empty one.
type Table struct {
	seen map[string]struct{}
	rows map[string]row
}

type row struct{ flights, cancelled, delay int }

// Add counts an event of a type, unless one of the same id was counted before. All flights have the same source, so the
// id alone identifies an event.
func (t *Table) Add(typ, id string, f Flight) error {
	if id == "" || f.Carrier == "" || typ != Departed && typ != Cancelled {
		return fmt.Errorf("an event of type %q with id %q and carrier %q is none of a flight", typ, id, f.Carrier)
	}
	if _, again := t.seen[id]; again {
		return nil
	}
	if t.seen == nil {
		t.seen, t.rows = map[string]struct{}{}, map[string]row{}
	}
	t.seen[id] = struct{}{}
	r := t.rows[f.Carrier]
	r.flights++
	r.delay += f.DepDelay
	if typ == Cancelled {
		r.cancelled++
	}
	t.rows[f.Carrier] = r
	return nil
}

// Events is how many different events were counted.
func (t *Table) Events() int { return len(t.seen) }

// Write prints the table, sorted by carrier, with the sums below.
func (t *Table) Write(w io.Writer) error {
	const line = "%-8s%10v%11v%11v\n"
	if _, err := fmt.Fprintf(w, line, "carrier", "flights", "cancelled", "dep_delay"); err != nil {
		return err
	}
	var all row
	for _, carrier := range slices.Sorted(maps.Keys(t.rows)) {
		r := t.rows[carrier]
		if _, err := fmt.Fprintf(w, line, carrier, r.flights, r.cancelled, r.delay); err != nil {
			return err
		}
		all = row{all.flights + r.flights, all.cancelled + r.cancelled, all.delay + r.delay}
	}
	_, err := fmt.Fprintf(w, line, "all", all.flights, all.cancelled, all.delay)
	return err
}
