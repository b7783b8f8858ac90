// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/autobus-io/autobus"
)

// overlap is how much of the past a tail reads again after it was cut, where the gateway does not tell places.
const overlap = 5 * time.Second

// featureCursors is how a gateway says in its hello that it tells the places of a tail, and begins there.
const featureCursors = "tail_cursors"

// tail remembers where a tail is, so that it can go on over another connection: exactly there, where gateways tell
// places; else about there, by the clock, and what was handed out before is left out.
type tail struct {
	start autobus.Start
	begun time.Time // when it was opened first; zero = not yet
	alive time.Time // when it was open last, as far as is known
	next  map[string]map[int32]int64
	known bool // next has every partition that the tail reads
}

func newTail(from autobus.Start) *tail { return &tail{start: from, next: map[string]map[int32]int64{}} }

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

// from is where to begin, in the gateway's words. Where places are not told, a tail that began at the end goes on a
// little before it was cut, by the gateway's own clock and never before it began; one that began elsewhere does so
// again.
func (t *tail) from(places bool) json.RawMessage {
	start := t.start
	switch {
	case places && t.known && len(t.next) > 0:
		start = autobus.Start{Cursors: t.next, Earliest: true} // what they do not name came since
	case places && t.known:
		start = autobus.Start{Earliest: true}
	case start.IsZero() && !t.begun.IsZero():
		back := min(time.Since(t.alive)+overlap, time.Since(t.begun))
		raw, _ := json.Marshal("-" + back.String())
		return raw
	}
	if !start.Time.IsZero() {
		raw, _ := json.Marshal(start.Time.Format(time.RFC3339Nano))
		return raw
	}
	raw, _ := json.Marshal(start) // one of its forms
	return raw
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
		if d.Offset < t.of(d.Type)[d.Partition] {
			continue
		}
		t.of(d.Type)[d.Partition] = d.Offset + 1
		out = append(out, ds[i])
	}
	return out
}

func (t *tail) of(typ string) map[int32]int64 {
	if t.next[typ] == nil {
		t.next[typ] = map[int32]int64{}
	}
	return t.next[typ]
}

// moved takes the gateway's word for where the tail stands: all that came before was handed out.
func (s *subscription) moved(at autobus.TailPosition) {
	if s.tail == nil || at.Cursors == nil {
		return
	}
	s.tail.known = true
	for typ, partitions := range at.Cursors {
		for p, next := range partitions {
			of := s.tail.of(typ)
			of[p] = max(of[p], next) // a gateway that goes down may still send, beside the next one
		}
	}
	if s.s.Moved != nil {
		s.s.Moved(at)
	}
}

// tooOld leaves a gateway that cannot begin at places, and looks for another one.
func (s *subscription) tooOld(a *attachment) bool {
	s.client.cfg.Logger.Warn("the gateway is too old for a tail that begins at cursors", slog.String("instance",
		a.conn.hello.Instance))
	s.client.pool.leave(a.conn, a)
	s.current = nil
	return false
}
