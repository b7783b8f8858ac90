// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// worker is one member of a crew.
type worker struct {
	crew  *crew
	polls bool // else it reads a stream

	at      *gateway
	session *bustest.Session // of the stream
	hand    []work
	held    []work // what it never answers
	revoked int    // while it was in hand
	dying   bool
}

// work is an event in hand and what will come of it.
type work struct {
	lease autobus.Lease
	verdict
}

// run goes from gateway to gateway until the worker is fired.
func (w *worker) run() {
	c := w.crew
	for c.ctx.Err() == nil {
		c.mu.Lock()
		w.at = nil
		if len(c.open) > 0 {
			w.at = c.open[rand.IntN(len(c.open))]
			c.there[w.at]++
		}
		c.mu.Unlock()
		if w.at != nil {
			w.visit()
		}
		select {
		case <-c.ctx.Done():
		case <-time.After(c.pace):
		}
	}
}

func (w *worker) visit() {
	ctx := w.crew.ctx
	dies := false
	if w.crew.stay != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.crew.stay())
		defer cancel()
		dies = rand.IntN(2) == 0
	}
	if w.polls {
		w.poll(ctx, dies)
	} else {
		w.stream(ctx, dies)
	}
	c := w.crew
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there[w.at]--
	c.left[w.at] += len(w.hand) + len(w.held) + w.revoked
	c.stays++
	w.hand, w.held, w.revoked, w.dying = nil, nil, 0, false
}

// stream reads a stream until it ends, or ctx does. Told that the gateway goes, the worker settles what it can and says
// goodbye if nothing is left.
func (w *worker) stream(ctx context.Context, dies bool) {
	w.session = w.crew.group.Open(false)
	defer w.session.Ended()
	// The name is for the goodbye.
	name := bustest.Prefix()
	reading, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	frames := w.crew.stream(reading, w.at, name, w.session)
	tick := time.NewTicker(w.crew.pace)
	defer tick.Stop()
	draining, end := false, ctx.Done()
	for {
		select {
		case f, ok := <-frames:
			if !ok {
				return
			}
			draining = draining || f.Op == "drain"
			w.take(f.deliveries)
			w.drop(f.Leases)
		case <-tick.C:
			w.settle(draining)
		case <-end:
			if !dies || w.crew.ctx.Err() != nil { // whoever is fired does not die
				w.settle(true)
			}
			draining, end = !dies, nil
			w.dying = dies && w.crew.ctx.Err() == nil
		}
		switch {
		case w.dying:
			w.session.Leave()
			hangUp()
		case draining && len(w.hand)+len(w.held) == 0, end == nil:
			w.session.Leave()
			w.crew.goodbye(w.at, name)
		default:
			continue
		}
		for f := range frames { // what was on its way comes again
			w.take(f.deliveries)
		}
		return
	}
}

// poll asks for events until the gateway goes, or ctx ends.
func (w *worker) poll(ctx context.Context, dies bool) {
	for ctx.Err() == nil && w.crew.isOpen(w.at) && !w.dying {
		wait := "1s"
		if len(w.hand) > 0 {
			wait = "0s"
		}
		ds, err := w.crew.poll(w.at, w.crew.window-len(w.hand)-len(w.held), wait)
		w.take(ds)
		if err != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(w.crew.pace):
		}
		w.settle(false)
	}
	// Its leases live on. It lets go of them by an outcome, or not at all.
	if !w.dying && (!dies || w.crew.ctx.Err() != nil) {
		w.settle(true)
	}
}

// take adds to what the worker has in hand.
func (w *worker) take(ds []autobus.Delivery) {
	for _, d := range ds {
		v := verdict{}
		if w.crew.verdict != nil {
			v = w.crew.verdict(d)
		}
		if v.Kind == "" {
			v.Kind = autobus.Ack
		}
		w.dying = w.dying || v.die
		if v.hold || v.die {
			w.held = append(w.held, work{d.Lease, v})
		} else {
			w.hand = append(w.hand, work{d.Lease, v})
		}
	}
}

// drop takes back what was revoked.
func (w *worker) drop(ls []autobus.Lease) {
	gone := func(k work) bool { return slices.Contains(ls, k.lease) }
	before := len(w.hand) + len(w.held)
	w.hand, w.held = slices.DeleteFunc(w.hand, gone), slices.DeleteFunc(w.held, gone)
	w.revoked += before - len(w.hand) - len(w.held)
}

// settle answers some of what is in hand, in random order, or all of it. What was not told for certain stays.
func (w *worker) settle(all bool) {
	if len(w.hand) == 0 || w.dying {
		return
	}
	rand.Shuffle(len(w.hand), func(i, j int) { w.hand[i], w.hand[j] = w.hand[j], w.hand[i] })
	n := len(w.hand)
	if !all {
		n = rand.IntN(n) + 1
	}
	ss := make([]autobus.Settlement, n)
	for i, k := range w.hand[:n] {
		ss[i] = autobus.Settlement{Lease: k.lease, Outcome: k.Outcome}
	}
	if err := w.crew.settle(w.at, ss); err == nil {
		w.hand = slices.Clone(w.hand[n:])
	}
}

// perSecond is the time between n events a second.
func perSecond(n int) time.Duration { return time.Second / time.Duration(n) }
