// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// surgery checks what an operator does to a live subscription: its workers stay, and notice nothing but what they get.
func (s *suite) surgery(t *testing.T) {
	if lacks(t, s.features.NoAPI) {
		return
	}
	sub := s.subscription(s.policy(s.types.Work))
	w := s.work(t, sub)
	t.Run("Pause", func(t *testing.T) {
		other := s.work(t, autobus.Subscription{Tail: []string{s.types.Work}})
		key := s.unique("key")
		s.orders(t, s.types.Work, key)
		held := w.next(t)
		other.next(t)
		s.operate(t, sub.Name, "pause", nil)
		w.ack(t, held) // what it has it may settle
		var rs []autobus.Receipt
		Eventually(t, "nothing to be handed out", func(context.Context) bool {
			rs = append(rs, s.orders(t, s.types.Work, key)...)
			other.next(t)
			select {
			case d := <-w.got: // an instance had not heard of it yet
				w.ack(t, d)
				rs = nil
				return false
			default:
				return true
			}
		})
		rs = append(rs, s.orders(t, s.types.Work, key)...)
		other.next(t)
		w.nothing(t, "it is paused")
		s.operate(t, sub.Name, "resume", nil)
		for _, r := range rs {
			if d := w.next(t); d.Offset != r.Offset || d.Attempt != 1 {
				t.Errorf("after the pause came offset %d, attempt %d, want offset %d", d.Offset, d.Attempt, r.Offset)
			} else {
				w.ack(t, d)
			}
		}
	})

	t.Run("Seek", func(t *testing.T) {
		key := s.unique("key")
		rs := s.orders(t, s.types.Work, key, key, key)
		for range rs {
			w.ack(t, w.next(t))
		}
		cursors := map[string]map[int32]int64{s.types.Work: {rs[0].Partition: rs[1].Offset}}
		s.operate(t, sub.Name, "seek", map[string]any{"to": autobus.Start{Cursors: cursors}})
		again := w.next(t)
		if again.Offset != rs[1].Offset || again.Attempt != 1 {
			t.Errorf("after the move back came offset %d, attempt %d, want offset %d", again.Offset, again.Attempt,
				rs[1].Offset)
		}
		s.operate(t, sub.Name, "seek", map[string]any{"to": "latest"})
		last := s.orders(t, s.types.Work, key)[0]
		d := w.next(t) // of the same key: the partition has moved
		if d.Offset != last.Offset {
			t.Errorf("after the move to the end came offset %d, want %d", d.Offset, last.Offset)
		}
		stale := autobus.Settlement{Lease: again.Lease, Subscription: sub.Name, Outcome: autobus.Outcome{Kind: autobus.Ack}}
		if err := s.settle(t, everything, stale); err == nil {
			t.Error("an ack of before the move counts")
		}
		w.ack(t, d)
	})

	t.Run("Skip", func(t *testing.T) {
		key := s.unique("key")
		rs := s.orders(t, s.types.Work, key, key)
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Retry, Delay: 24 * time.Hour})
		s.operate(t, sub.Name, "skip", map[string]any{"type": s.types.Work, "partition": rs[0].Partition,
			"offset": rs[0].Offset})
		if d := w.next(t); d.Offset != rs[1].Offset {
			t.Errorf("after the skip came offset %d, want %d", d.Offset, rs[1].Offset)
		} else {
			w.ack(t, d)
		}
	})

	t.Run("Replay", func(t *testing.T) {
		mine, other := s.unique("key"), s.unique("key")
		from := time.Now().Add(-time.Millisecond)
		rs := s.orders(t, s.types.Work, mine, other, mine)
		for range rs {
			w.ack(t, w.next(t))
		}
		for to := time.Now().UnixMilli(); time.Now().UnixMilli() <= to; { // the slice ends before this moment
		}
		s.operate(t, sub.Name, "replay", map[string]any{"from": from, "to": time.Now(), "key": mine})
		for _, r := range []autobus.Receipt{rs[0], rs[2]} {
			if d := w.next(t); string(d.Key) != mine || d.Offset != r.Offset {
				t.Errorf("the replay brought key %s, offset %d, want %d", d.Key, d.Offset, r.Offset)
			} else {
				w.ack(t, d)
			}
		}
		last := s.orders(t, s.types.Work, other)[0]
		if d := w.next(t); string(d.Key) != other || d.Offset != last.Offset {
			t.Errorf("after the replay came key %s, offset %d, want %d", d.Key, d.Offset, last.Offset)
		} else {
			w.ack(t, d)
		}
	})
}

// operate does something to a subscription by the API.
func (s *suite) operate(t *testing.T, subscription, verb string, body map[string]any) {
	t.Helper()
	s.api(t, http.MethodPost, "/v1/subscriptions/"+subscription+"/"+verb, body)
}

// api makes a request, which has to succeed, as the suite's usual principal.
func (s *suite) api(t *testing.T, method, path string, body any) []byte {
	t.Helper()
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	status, answer := s.target.API(t, everything, method, path, raw)
	if status < 200 || status > 299 {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// schedules publishes an event that is due in a moment and two that are due later, and cancels these. What came of it
// schedulesEnd tells, when the rest of the suite is over.
func (s *suite) schedules(t *testing.T) {
	if lacks(t, s.features.NoSchedules) {
		return
	}
	at := map[string]time.Time{"due": time.Now().Add(time.Second), "cancelled": time.Now().Add(20 * time.Second),
		"tomorrow": time.Now().Add(24 * time.Hour)}
	ids := map[string]string{} // of events
	for what, due := range at {
		e := s.event(s.types.Small, s.unique("key"))
		e.SetExt(autobus.ExtDeliverAt, due.Format(time.RFC3339Nano))
		written(t, s.publish(t, e))
		ids[what] = e.ID
		s.due = append(s.due, scheduled{e, due, what == "due"})
	}
	list := func() map[string]string { // event -> schedule
		var got struct {
			Schedules []struct {
				ID      string    `json:"id"`
				EventID string    `json:"event_id"`
				At      time.Time `json:"at"`
			}
		}
		if err := json.Unmarshal(s.api(t, http.MethodGet, "/v1/schedules?type="+s.types.Small, nil), &got); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, g := range got.Schedules {
			out[g.EventID] = g.ID
		}
		return out
	}
	have := list()
	for _, what := range []string{"cancelled", "tomorrow"} {
		if have[ids[what]] == "" {
			t.Fatalf("%s is not among the schedules %v", what, have)
		}
		s.api(t, http.MethodDelete, "/v1/schedules/"+have[ids[what]], nil)
	}
	have = list()
	for _, what := range []string{"cancelled", "tomorrow"} {
		if have[ids[what]] != "" {
			t.Errorf("%s is still among the schedules", what)
		}
	}
}

// scheduled is an event that is to be published at a time, or never.
type scheduled struct {
	autobus.Event
	at      time.Time
	happens bool
}

// schedulesEnd looks what became of what schedules published.
func (s *suite) schedulesEnd(t *testing.T) {
	for _, e := range s.due {
		if !e.happens {
			continue
		}
		Eventually(t, "the event that was due", func(context.Context) bool { return len(s.copies(t, e.Event)) > 0 })
		got := s.copies(t, e.Event)
		if len(got) != 1 || got[0].Time.Before(e.at.Truncate(time.Millisecond)) {
			t.Errorf("due at %s: %+v", e.at, got)
		}
	}
	for _, e := range s.due {
		if !e.happens {
			s.none(t, e.Event)
		}
	}
}
