// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"slices"

	"github.com/autobus-io/autobus"
)

// complete demands exactly one final state for each event of the subscription.
func (j *judge) complete() {
	var again []*entry
	repeats := 0
	for _, r := range j.order {
		h := j.handled[r.place]
		switch {
		case !j.reads(r):
			j.unwanted(r, h, "outside of what the subscription reads")
			continue
		case j.g.Wanted != nil && !j.g.Wanted(*r.record):
			j.report.Filtered++
			j.unwanted(r, h, "though its filter does not let it pass")
			continue
		case h == nil:
			h = &handled{}
		}
		lives := h.lives(j.g.Redriven)
		last := lives[len(lives)-1]
		if to, ends := j.g.To[r.tp]; !j.final(last) && (!ends || r.offset < to) {
			j.fault(Missing, r.id, "%s was delivered %d times, redriven %d times, and has no final state", r.place,
				len(h.deliveries), len(lives)-1)
		}
		for _, life := range lives {
			j.givenUp(life)
		}
		if n := j.repeats(lives); n > 0 {
			again = append(again, r)
			repeats += n
		}
	}
	j.report.Repeats += repeats
	if repeats <= j.g.Repeats {
		return
	}
	for _, r := range again {
		h := j.handled[r.place]
		j.fault(Repeated, r.id, "%s came again %d times after it was done: %d deliveries, %d dead letters; %d repeats in "+
			"all, the run explains %d", r.place, j.repeats(h.lives(j.g.Redriven)), len(h.deliveries), len(h.letters), repeats,
			j.g.Repeats)
	}
}

// reads reports whether the subscription has the record, but for its filter.
func (j *judge) reads(r *entry) bool {
	return r.offset >= j.g.From[r.tp] && slices.ContainsFunc(j.g.policy.Types, func(p string) bool {
		return autobus.MatchType(p, r.tp.Topic)
	})
}

func (j *judge) unwanted(r *entry, h *handled, why string) {
	if h != nil {
		j.fault(Unwanted, r.id, "%s was delivered %d times and is %d times in the dead letters, %s", r.place,
			len(h.deliveries), len(h.letters), why)
	}
}

// final counts what became of an event, and reports whether anything did. An ack without an answer is believed if
// nothing came after it.
func (j *judge) final(h *handled) bool {
	n := len(h.deliveries)
	switch {
	case h.done(), n > 0 && h.deliveries[n-1].settledAs(true, autobus.Ack, autobus.Skip):
		j.report.Done++
	case len(h.letters) > 0:
		j.report.Dead++
	case n > 0 && j.dropped(h, h.deliveries[n-1]):
		j.report.Dropped++
	default:
		return false
	}
	return true
}

// done reports whether an ack or a skip counted.
func (h *handled) done() bool {
	return slices.ContainsFunc(h.deliveries, func(d *delivery) bool {
		return d.settledAs(false, autobus.Ack, autobus.Skip)
	})
}

// dropped reports whether the policy forgets an event after a last delivery that was not acked. Nothing but the
// attempts tells that from one that is still in flight.
func (j *judge) dropped(h *handled, last *delivery) bool {
	p := j.g.policy
	return p.OnExhausted == autobus.Drop &&
		(last.settledAs(true, autobus.Reject) || last.attempt-h.spent >= p.Retry.MaxAttempts || p.Retry.MaxTime > 0)
}

// givenUp demands that a dead letter had all its attempts, unless a worker rejected it.
func (j *judge) givenUp(h *handled) {
	rejected := slices.ContainsFunc(h.deliveries, func(d *delivery) bool { return d.settledAs(true, autobus.Reject) })
	if most := j.g.policy.Retry; !rejected && most.MaxTime == 0 {
		for _, l := range h.letters {
			if n := l.attempts - h.spent; n < most.MaxAttempts {
				j.fault(Miscounted, l.id, "%s became a dead letter after %d of %d attempts", l.place, n, most.MaxAttempts)
			}
		}
	}
}

// repeats counts what came of an event after it was done, in each of its lives.
func (j *judge) repeats(lives []*handled) (n int) {
	for _, h := range lives {
		n += j.repeated(h)
	}
	return n
}

func (j *judge) repeated(h *handled) int {
	n := 0
	if over := slices.IndexFunc(h.deliveries, func(d *delivery) bool { return j.ends(h, d) }); over >= 0 {
		n = len(h.deliveries) - 1 - over
	}
	if n == 0 && len(h.letters) > 0 && h.done() {
		n = 1 // acked as well as dead, in whatever order
	}
	return n + max(0, len(h.letters)-1)
}

// ends reports whether what came of a delivery ends that life of its event.
func (j *judge) ends(h *handled, d *delivery) bool {
	return d.settledAs(false, autobus.Ack, autobus.Skip, autobus.Reject) ||
		d.attempt-h.spent >= j.g.policy.Retry.MaxAttempts && d.settledAs(false, autobus.Retry)
}
