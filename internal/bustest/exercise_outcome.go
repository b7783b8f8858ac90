// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// order sends from several streams at once, pipelined and in batches that mix keys, and looks into the log for each
// stream's order per key.
func (s *suite) order(t *testing.T) {
	const streams, batches, size, keys = 4, 10, 50, 7
	h := NewHistory()
	var sending sync.WaitGroup
	for n := range streams {
		sending.Go(func() {
			bus, ctx := s.bus(t.Context(), t, everything)
			stream := &autobus.Stream{}
			var sent []*autobus.Batch
			var attempts [][]*Attempt
			for range batches {
				b := &autobus.Batch{Stream: stream, Events: make([]autobus.Event, size)}
				as := make([]*Attempt, size)
				for i := range b.Events {
					b.Events[i] = s.event(s.types.Keyed, fmt.Sprintf("order-%d-%d", n, i%keys))
					as[i] = h.Begin(fmt.Sprint(n), b.Events[i], fmt.Sprintf("order-%d-%d", n, i%keys))
				}
				// The next batch does not wait for this one's receipts.
				if err := bus.Publish(ctx, b); err != nil {
					t.Errorf("stream %d: %v", n, err)
					return
				}
				sent, attempts = append(sent, b), append(attempts, as)
			}
			for j, b := range sent {
				for i, r := range b.Wait(ctx) {
					attempts[j][i].End(r)
				}
			}
		})
	}
	sending.Wait()
	h.Read(slices.DeleteFunc(s.log(t, s.types.Keyed), func(r kafka.Record) bool {
		return !strings.HasPrefix(string(r.Key), "order-")
	}))
	report := h.Check()
	for _, f := range report.Faults {
		t.Error(f)
	}
	if report.Written != streams*batches*size {
		t.Errorf("%d of %d events were written", report.Written, streams*batches*size)
	}
}

// outcome checks that items are judged one by one and that a refused one never reaches the log.
func (s *suite) outcome(t *testing.T) {
	t.Run("ValidRestLands", func(t *testing.T) {
		key := s.unique("key")
		good1, good2, good3 := s.event(s.types.Keyed, key), s.event(s.types.Keyless, ""), s.event(s.types.Keyed, key)
		unreadable, wrong, unknown := s.event(s.types.Keyed, key), s.event(s.types.Keyed, key),
			s.event(s.types.Keyed, key)
		unreadable.Data = []byte(`{"order":"x"`)
		wrong.Data = fmt.Appendf(nil, `{"order":%q,"total":"much"}`, key)
		unknown.Type = s.unknown()
		events := []autobus.Event{good1, unreadable, good2, wrong, unknown, good3}
		rs := s.publish(t, events...)
		for i, want := range []autobus.Reason{"", autobus.ReasonDataUnreadable, "", autobus.ReasonDataInvalid,
			autobus.ReasonTypeUnknown, ""} {
			if want == "" {
				written(t, rs[i:i+1])
				s.one(t, events[i], rs[i])
				continue
			}
			refused(t, rs[i], want)
			if events[i].Type == s.types.Keyed {
				s.none(t, events[i])
			}
		}
	})

	t.Run("Faults", func(t *testing.T) {
		for _, c := range []struct{ data, pointer, rule string }{
			{`{"order":"x","total":"much"}`, "/total", "type"},
			{`{"order":"x","lines":[{"sku":"a"},{"sku":1}]}`, "/lines/1/sku", "type"},
			{`{"order":"x","unheard":1}`, "/unheard", "undeclared"},
			{`{"order":"x","lines":[{"size":1}]}`, "/lines/0/size", "undeclared"},
			{`[]`, "", "type"},
		} {
			e := autobus.Event{ID: s.unique("id"), Type: s.types.Keyed, Data: []byte(c.data)}
			r := s.publish(t, e)[0]
			refused(t, r, autobus.ReasonDataInvalid)
			if r.Err == nil || !slices.ContainsFunc(r.Err.Faults, func(f autobus.Fault) bool {
				return f.Pointer == c.pointer && f.Rule == c.rule
			}) {
				t.Errorf("%s: no fault %q at %q in %+v", c.data, c.rule, c.pointer, r.Err)
			}
			s.none(t, e)
		}
	})

	t.Run("UnknownType", func(t *testing.T) {
		e := s.event(s.types.Keyed, "x")
		e.Type = s.unknown()
		r := s.publish(t, e)[0]
		refused(t, r, autobus.ReasonTypeUnknown)
		if r.Err != nil && !strings.Contains(r.Err.NextStep(), s.types.Keyed) {
			t.Errorf("the hint does not name the type that is nearest: %q", r.Err.NextStep())
		}
		for name, why := range map[string]autobus.Reason{
			"_autobus.control": autobus.ReasonTypeReserved, "dlq.x.y.v1": autobus.ReasonTypeReserved,
			"Not A Type": autobus.ReasonTypeInvalid, "": "",
		} {
			e := s.event(s.types.Keyed, "x")
			e.Type = name
			if r := s.publish(t, e)[0]; r.Status != autobus.Refused || why != "" && r.Err.Reason != why {
				t.Errorf("type %q: got %s (%v), want refused: %s", name, r.Status, r.Err, why)
			}
		}
	})
}

// unknown is a type that looks like one of the suite's but has no spec.
func (s *suite) unknown() string { return s.types.Keyed[:len(s.types.Keyed)-1] + "2" }

// predecessor checks what the failure of one item means for later ones.
func (s *suite) predecessor(t *testing.T) {
	bad := func(key string) autobus.Event {
		e := s.event(s.types.Keyed, key)
		e.Data = fmt.Appendf(nil, `{"order":%q,"total":"much"}`, key)
		return e
	}

	t.Run("Independent", func(t *testing.T) { // a refusal for good stops nobody
		key := s.unique("key")
		rs := s.publish(t, bad(key), s.event(s.types.Keyed, key))
		refused(t, rs[0], autobus.ReasonDataInvalid)
		written(t, rs[1:])
	})

	t.Run("Ordered", func(t *testing.T) { // any failure stops its key, and only that
		key, other := s.unique("key"), s.unique("key")
		events := []autobus.Event{s.event(s.types.Keyed, key), bad(key), s.event(s.types.Keyed, key),
			s.event(s.types.Keyed, other), s.event(s.types.Keyed, key)}
		rs := s.send(t, &autobus.Batch{Mode: autobus.Ordered, Events: events})
		written(t, []autobus.Receipt{rs[0], rs[3]})
		refused(t, rs[1], autobus.ReasonDataInvalid)
		for _, i := range []int{2, 4} {
			refused(t, rs[i], autobus.ReasonPredecessorFailed)
			s.none(t, events[i])
		}
		if rs := s.publish(t, events[2]); rs[0].Status != autobus.Written {
			t.Errorf("a batch of its own is stopped as well: %v", rs[0].Err)
		}
	})

	t.Run("Transient", func(t *testing.T) { // a refusal for now stops its key until the failed event is sent again
		if lacks(t, s.features.NoFull) || lacks(t, s.features.NoStream) {
			return
		}
		key, other := s.unique("key"), s.unique("key")
		stream := &autobus.Stream{}
		first, second, aside := s.event(s.types.Keyed, key), s.event(s.types.Keyed, key),
			s.event(s.types.Keyed, other)
		send := func(events ...autobus.Event) []autobus.Receipt {
			return s.send(t, &autobus.Batch{Stream: stream, Events: events})
		}
		s.target.Full(true)
		rs := send(first)
		s.target.Full(false)
		refused(t, rs[0], autobus.ReasonStorageFull)

		rs = send(second, aside)
		refused(t, rs[0], autobus.ReasonPredecessorFailed)
		written(t, rs[1:])
		s.none(t, second)

		written(t, send(first, second))
		if a, b := s.copies(t, first), s.copies(t, second); len(a) != 1 || len(b) != 1 || a[0].Offset > b[0].Offset {
			t.Errorf("want %s before %s, once each: %d and %d copies", first.ID, second.ID, len(a), len(b))
		}
	})

	t.Run("UnknownMode", func(t *testing.T) {
		bus, ctx := s.bus(t.Context(), t, everything)
		b := &autobus.Batch{Mode: 99, Events: []autobus.Event{s.event(s.types.Keyed, "x")}}
		if err := bus.Publish(ctx, b); err == nil {
			t.Errorf("a mode that does not exist passed: %+v", b.Wait(ctx))
		}
		s.none(t, b.Events[0])
	})
}
