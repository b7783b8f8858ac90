// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"context"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// Subscribe implements autobus.Bus.
func (b *Bus) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	switch {
	case s.Inbox:
		return b.receive(ctx, b.principal(ctx), s, h)
	case s.Name != "" && len(s.Tail) == 0:
		return b.consume(ctx, b.principal(ctx), s, h)
	case s.Name != "" || len(s.Tail) == 0:
		return autobus.NewError(autobus.ReasonRequestInvalid, "either a subscription or types to tail have to be named")
	}
	return b.tail(ctx, b.principal(ctx), s, h)
}

// tail reads types without a group. It is guarded by its Bus.
type tail struct {
	who    autobus.Principal
	sub    autobus.Subscription
	filter FilterFunc // nil = everything
	queue  []autobus.Delivery
	err    *autobus.Error             // why it ends
	from   map[string]map[int32]int64 // where it began
	until  map[string]map[int32]int64 // where what was there then ended
	wake   chan struct{}              // holds one token
}

func (b *Bus) tail(ctx context.Context, who autobus.Principal, s autobus.Subscription, h autobus.Handler) error {
	t, err := b.openTail(who, s)
	if err != nil {
		return err
	}
	defer func() {
		b.lock()
		defer b.unlock()
		delete(b.tails, t)
	}()
	caught := s.Moved == nil
	if !caught {
		s.Moved(autobus.TailPosition{Cursors: t.from})
	}
	if s.Opened != nil {
		s.Opened("")
	}
	if !caught {
		signal(t.wake) // what was there may be nothing
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		}
		b.lock()
		ds, end := t.queue, t.err
		t.queue = nil
		b.unlock()
		switch {
		case ctx.Err() != nil:
			return nil
		case len(ds) > 0:
			h(ctx, ds)
		}
		if end != nil {
			return end
		}
		if !caught {
			caught = true
			s.Moved(autobus.TailPosition{Cursors: t.until, CaughtUp: true})
		}
	}
}

func (b *Bus) openTail(who autobus.Principal, s autobus.Subscription) (*tail, error) {
	b.lock()
	defer b.unlock()
	if b.ended {
		return nil, autobus.NewError(autobus.ReasonShuttingDown, "the test is over")
	}
	filter, known := b.filterOf("", s.Filter)
	if !known {
		return nil, b.noFilter("a tail of "+list(s.Tail), s.Filter, s.Filter)
	}
	for _, p := range s.Tail {
		if !autobus.ValidPattern(p) {
			return nil, autobus.NewError(autobus.ReasonRequestInvalid, "%q is neither a type nor a pattern", p)
		}
		if !who.MayAny(autobus.VerbSubscribe, p) {
			return nil, autobus.NewError(autobus.ReasonForbidden, "%s has no grant to subscribe to %s", who.Name, p)
		}
		if autobus.IsPattern(p) {
			continue
		}
		if err := b.exists(who, p); err != nil {
			return nil, err
		}
	}
	t := &tail{who: who, sub: s, filter: filter, wake: make(chan struct{}, 1), from: map[string]map[int32]int64{}}
	t.until = map[string]map[int32]int64{}
	place := func(in map[string]map[int32]int64, r *record, offset int64) {
		if in[r.event.Type] == nil {
			in[r.event.Type] = map[int32]int64{}
		}
		in[r.event.Type][r.partition] = offset
	}
	for _, r := range b.written {
		if r.only == nil && t.wants(r.event.Type) {
			place(t.until, r, r.offset+1)
			place(t.from, r, r.offset+1)
		}
	}
	begins := b.after(s.From, t.wants)
	for _, r := range slices.Backward(begins) {
		place(t.from, r, r.offset)
	}
	for _, r := range begins {
		t.see(r)
	}
	b.tails[t] = struct{}{}
	return t, nil
}

// see takes a record that was written.
func (t *tail) see(r *record) {
	e := &r.event
	if r.only != nil || !t.wants(e.Type) || t.filter != nil && !t.filter(e, nil) {
		return
	}
	t.queue = append(t.queue, autobus.Delivery{Event: clone(e), Partition: r.partition, Offset: r.offset, Attempt: 1})
	signal(t.wake)
}

func (t *tail) wants(typ string) bool {
	return t.who.May(autobus.VerbSubscribe, typ) &&
		slices.ContainsFunc(t.sub.Tail, func(p string) bool { return autobus.MatchType(p, typ) })
}

// filterOf finds the replacement of a filter, nil where there is nothing to replace.
func (b *Bus) filterOf(name, expression string) (pass FilterFunc, known bool) {
	if strings.TrimSpace(expression) == "" {
		return nil, true
	}
	for _, of := range []string{name, expression} {
		if f := b.cfg.filters[of]; f != nil && of != "" {
			return f, true
		}
	}
	return nil, false
}

// noFilter fails the test for a filter that has no replacement: to deliver everything, or nothing, would let it pass
// or fail for no reason of the service's.
func (b *Bus) noFilter(who, expression, of string) *autobus.Error {
	err := autobus.NewError(autobus.ReasonUnimplemented, "%s has the filter %q, and CEL is not evaluated here", who,
		expression).WithHint("Give New a replacement: autobustest.Filter(%q, func(e *autobus.Event, params "+
		"map[string]string) bool { ... }).", of)
	b.t.Errorf("autobustest: %s. %s", err.Detail, err.Hint)
	return err
}

// list writes names for a message.
func list(names []string) string { return strings.Join(names, ", ") }
