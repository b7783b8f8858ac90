// SPDX-License-Identifier: Apache-2.0

package client

import (
	"time"

	"github.com/autobus-io/autobus"
)

// overlap is how much of the past a tail reads again after it was cut, so that nothing is missed.
const overlap = 5 * time.Second

// tail remembers where a tail is, so that it can go on over another connection.
type tail struct {
	start autobus.Start
	begun time.Time // when it was opened first; zero = not yet
	alive time.Time // when it was open last, as far as is known
	seen  map[string]map[int32]int64
}

func newTail(from autobus.Start) *tail { return &tail{start: from, seen: map[string]map[int32]int64{}} }

func (t *tail) opened() {
	t.alive = time.Now()
	if t.begun.IsZero() {
		t.begun = t.alive
	}
}

// cut notes when the gateway was heard last.
func (t *tail) cut(n *conn) {
	if t != nil {
		t.alive = n.born.Add(time.Duration(n.heard.Load()))
	}
}

// from is where to begin, in the gateway's words. One that began at the end goes on a little before it was cut, by the
// gateway's own clock and never before it began; one that began elsewhere does so again, and passes over what it had.
func (t *tail) from() string {
	switch {
	case !t.start.Time.IsZero():
		return t.start.Time.Format(time.RFC3339Nano)
	case t.start.Earliest:
		return "earliest"
	case t.begun.IsZero():
		return "latest"
	}
	return "-" + min(time.Since(t.alive)+overlap, time.Since(t.begun)).String()
}

// fresh leaves out what was handed out before the tail was cut. A subscription that is no tail sees everything.
func (t *tail) fresh(ds []autobus.Delivery) []autobus.Delivery {
	if t == nil {
		return ds
	}
	t.alive = time.Now()
	out := ds[:0]
	for i := range ds {
		d := &ds[i]
		at := t.seen[d.Type]
		if at == nil {
			at = map[int32]int64{}
			t.seen[d.Type] = at
		}
		if last, ok := at[d.Partition]; ok && d.Offset <= last {
			continue
		}
		at[d.Partition] = d.Offset
		out = append(out, ds[i])
	}
	return out
}
