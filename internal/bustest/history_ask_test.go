// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"fmt"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

const simQuery = "a.quote.price.v1"

// simReply is a reply as an event and as a record.
func simReply(id, cause, responder, nonce string) (autobus.Event, kafka.Record) {
	e := autobus.Event{ID: id, Type: simQuery + autobus.ReplySuffix, Data: []byte(nonce)}
	e.SetExt(autobus.ExtCausationID, cause)
	e.SetExt(autobus.ExtResponder, responder)
	r := kafka.Record{Value: e.Data, Headers: []kafka.Header{{Key: "ce_id", Value: []byte(id)},
		{Key: "ce_type", Value: []byte(e.Type)}, {Key: "ce_causationid", Value: []byte(cause)},
		{Key: "ce_responder", Value: []byte(responder)}}}
	return e, r
}

// goodAnswers makes a history of ten requests to two services without a fault: some answered twice, some asked for
// again, one by nobody.
func goodAnswers() (*History, []kafka.Record) {
	h := NewHistory()
	var log []kafka.Record
	for n := range 10 {
		id, nonce := fmt.Sprint("q-", n), fmt.Sprint("nonce-", n)
		w := h.Wait(id, simQuery, nonce, false)
		var replies []autobus.Event
		for _, by := range []string{"a", "b"} {
			if n == 9 {
				continue // nobody answers
			}
			e, r := simReply(fmt.Sprint("r-", by, n), id, by, nonce)
			log, replies = append(log, r), append(replies, e)
			if n%3 == 0 { // its worker died after that, and another one answers too
				_, second := simReply(fmt.Sprint("s-", by, n), id, by, nonce)
				log = append(log, second)
			}
		}
		_, others := simReply("x", "somebody else's", "a", "x")
		log = append(log, others)
		if n%2 == 1 { // its instance dies; another one is asked
			w = h.Wait(id, simQuery, nonce, true)
		}
		for i := range replies {
			w.Got(&replies[i], nonce)
		}
		why := ""
		if len(replies) == 0 {
			why = "no answer"
		}
		w.End(why)
	}
	return h, log
}

func TestCheckPassesGoodAnswers(t *testing.T) {
	h, log := goodAnswers()
	h.Replies(log)
	r := h.Check()
	if len(r.Faults) > 0 || r.Requests != 10 || r.Answered != 10 || r.Replies != 24 {
		t.Errorf("%d requests, %d answered, %d replies; faults: %v", r.Requests, r.Answered, r.Replies, r.Faults)
	}
}

// Each lie in a good history is named by its rule.
func TestCheckDetectsAnswersThatAreNone(t *testing.T) {
	for _, m := range []struct {
		name   string
		want   Rule
		mutate func(h *History, log []kafka.Record) []kafka.Record
	}{
		{"the answer to another request", Crossed, func(h *History, l []kafka.Record) []kafka.Record {
			h.waiters[0].replies[0] = h.waiters[1+1].replies[0]
			return l
		}},
		{"the words of another answer", Crossed, func(h *History, l []kafka.Record) []kafka.Record {
			h.waiters[0].replies[0].nonce = "nonce-4"
			return l
		}},
		{"another type", Crossed, func(h *History, l []kafka.Record) []kafka.Record {
			h.waiters[0].replies[0].typ = "b.c.v1.reply"
			return l
		}},
		{"two ends", Twice, func(h *History, l []kafka.Record) []kafka.Record {
			h.waiters[0].End("")
			return l
		}},
		{"two replies of one responder", Twice, func(h *History, l []kafka.Record) []kafka.Record {
			w := h.waiters[0]
			w.replies = append(w.replies, w.replies[0])
			return l
		}},
		{"the second reply and not the first", Altered, func(h *History, l []kafka.Record) []kafka.Record {
			h.waiters[0].replies[0].id = "s-a0"
			return l
		}},
		{"other bytes", Altered, func(_ *History, l []kafka.Record) []kafka.Record {
			l[0].Value = []byte("something else")
			return l
		}},
		{"a reply that nobody wrote", Phantom, func(_ *History, l []kafka.Record) []kafka.Record {
			return l[2:] // both copies of the first
		}},
		{"a reply that is there and not found", Unfound, func(h *History, l []kafka.Record) []kafka.Record {
			w := h.waiters[2] // who asks again for q-1
			w.replies, w.ends = nil, []string{"no answer"}
			return l
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			h, log := goodAnswers()
			h.Replies(m.mutate(h, log))
			for _, f := range h.Check().Faults {
				if f.Rule == m.want {
					return
				}
			}
			t.Errorf("no %s among %v", m.want, h.Check().Faults)
		})
	}
}
