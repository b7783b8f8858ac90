// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"hash/maphash"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// loggedReply is a reply in the log of replies.
type loggedReply struct {
	id, typ, responder, to string
	value                  uint64
}

// requests judges what waiters got against the log of replies: each has one end, one reply of a responder, the first
// that is in the log, and none that is another request's.
func (c *checker) requests(h *History) {
	asked := map[string]*Waiter{}
	for _, w := range h.waiters {
		asked[w.request] = w
	}
	logged := map[string][]loggedReply{} // by the request
	for i := range h.replies {
		r := &h.replies[i]
		cause := headerOf(r, autobus.ExtCausationID)
		if asked[cause] == nil {
			continue
		}
		logged[cause] = append(logged[cause], loggedReply{headerOf(r, "id"), headerOf(r, "type"),
			headerOf(r, autobus.ExtResponder), headerOf(r, autobus.ExtTo), maphash.Bytes(h.seed, r.Value)})
		c.report.Replies++
	}
	for _, w := range h.waiters {
		c.waiter(w, logged[w.request])
	}
	c.report.Requests = len(asked)
}

func (c *checker) waiter(w *Waiter, log []loggedReply) {
	if len(w.ends) > 1 {
		c.fault(Twice, w.request, "a waiter got %d final answers", len(w.ends))
	}
	by := map[string]bool{}
	for _, r := range w.replies {
		if r.cause != w.request || r.nonce != w.nonce || r.typ != w.typ+autobus.ReplySuffix {
			c.fault(Crossed, w.request, "its waiter got the reply %s of %s to %s, which says %q and not %q", r.id, r.typ,
				r.cause, r.nonce, w.nonce)
			continue
		}
		if by[r.responder] {
			c.fault(Twice, w.request, "a waiter got two replies of %s", r.responder)
		}
		by[r.responder] = true
		c.first(w, r, log)
	}
	if len(w.ends) == 1 {
		c.report.Answered++
	}
	if w.resumes && len(w.ends) == 1 && w.ends[0] != "" {
		for _, l := range log {
			if !by[l.responder] {
				c.fault(Unfound, w.request, "who asked again ended with %q, though the log has the reply %s", w.ends[0], l.id)
			}
		}
	}
}

// first looks whether a reply is the first one of its responder in the log. A request that was sent again elsewhere has
// two addresses, each with a first one.
func (c *checker) first(w *Waiter, r gotReply, log []loggedReply) {
	firsts := map[string]loggedReply{}
	for _, l := range log {
		if _, ok := firsts[l.to]; !ok && l.responder == r.responder {
			firsts[l.to] = l
		}
	}
	for _, l := range firsts {
		if l.id == r.id && l.typ == r.typ && l.value == r.value {
			return
		}
	}
	if len(firsts) == 0 {
		c.fault(Phantom, w.request, "its waiter got the reply %s of %s, which is not in the log", r.id, r.responder)
		return
	}
	c.fault(Altered, w.request, "its waiter got the reply %s of %s, which is not the first in the log", r.id, r.responder)
}

// headerOf reads an attribute of a record.
func headerOf(r *kafka.Record, attribute string) string {
	v, _ := header(*r, "ce_"+attribute)
	return v
}
