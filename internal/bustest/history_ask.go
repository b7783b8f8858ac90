// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"hash/maphash"
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Waiter is one call that waits for what is answered to a request: who asks, or who asks for it again at another
// instance. Each has one end.
type Waiter struct {
	history *History
	request string // its id
	typ     string
	nonce   string // what every answer to it has to say
	resumes bool

	replies []gotReply
	ends    []string // how it ended: "" = with all that it wanted, else why not
}

// gotReply is a reply as a waiter got it.
type gotReply struct {
	id, cause, typ, responder, nonce string
	value                            uint64
}

// Wait notes that somebody waits for the replies to a request. Whoever answers is to repeat the nonce, and nobody else
// has it. A waiter that resumes asks for what was replied before; when he ends without it there must be none.
func (h *History) Wait(request, typ, nonce string, resumes bool) *Waiter {
	w := &Waiter{history: h, request: request, typ: typ, nonce: nonce, resumes: resumes}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiters = append(h.waiters, w)
	return w
}

// Got notes a reply that the waiter was given, and the nonce that it says.
func (w *Waiter) Got(e *autobus.Event, nonce string) {
	r := gotReply{id: e.ID, typ: e.Type, nonce: nonce, value: maphash.Bytes(w.history.seed, e.Data)}
	r.cause, _ = e.Ext(autobus.ExtCausationID)
	r.responder, _ = e.Ext(autobus.ExtResponder)
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	w.replies = append(w.replies, r)
}

// End notes that the call is over; "" = it has what it wanted. A call whose connection died has no end.
func (w *Waiter) End(why string) {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	w.ends = append(w.ends, why)
}

// Replies takes the whole log of replies. Those to requests of others are passed over.
func (h *History) Replies(records []kafka.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.replies = slices.Clone(records)
}
