// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Subscribe implements autobus.Bus.
func (b *Bus) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	who, known := autobus.PrincipalOf(ctx)
	switch {
	case !known:
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to subscribe")
	case s.Inbox:
		return b.receive(ctx, who, s, h)
	case s.Name != "" && len(s.Tail) == 0:
		return b.consume(ctx, who, s, h)
	case s.Name != "" || len(s.Tail) == 0:
		return autobus.NewError(autobus.ReasonRequestInvalid, "either a subscription or types to tail have to be named")
	}
	f, err := newFilter(s.Filter, nil)
	if err != nil {
		return err
	}
	t := &tail{bus: b, who: who, subscription: s, filter: f, types: map[string]string{}}
	if s.Moved != nil {
		t.place = newTailPlace(s.Moved)
	}
	if err := t.check(ctx); err != nil {
		return err
	}
	b.metrics.tails.Inc()
	defer b.metrics.tails.Dec()
	return t.run(ctx, h)
}

// tail reads types without a group.
type tail struct {
	bus          *Bus
	who          autobus.Principal
	subscription autobus.Subscription
	filter       *filter
	types        map[string]string // topic -> type, of what is being read
	missing      bool              // a type matches whose topic the brokers do not know now
	reader       *kafka.Reader
	place        *tailPlace // where it is; nil = nobody asks
}

// missingEvery is how often a tail asks again for a topic that was not there.
const missingEvery = time.Second

// check refuses what this principal may not read at all, and types named exactly that do not exist.
func (t *tail) check(ctx context.Context) error {
	for _, p := range t.subscription.Tail {
		if !autobus.ValidPattern(p) {
			return autobus.NewError(autobus.ReasonRequestInvalid, "%q is neither a type nor a pattern", p).
				WithHint("A pattern is a type's name in which a whole segment may be *: orders.order.placed.v1, orders.*, *.")
		}
		if !t.who.MayAny(autobus.VerbSubscribe, p) {
			return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to subscribe to %s", t.who.Name, p)
		}
		if autobus.IsPattern(p) {
			continue
		}
		if t.bus.cfg.CreateType != nil && t.bus.legal(p) == nil {
			continue // its first publish may come at any time
		}
		r, _, err := t.bus.find(ctx, t.who, p, t.bus.refresh.after)
		if err == nil {
			err = r.unreadable()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// run reads until ctx ends, new types that match included.
func (t *tail) run(ctx context.Context, h autobus.Handler) error {
	from := t.subscription.From
	changed, err := t.add(ctx, from)
	if err != nil {
		return err
	}
	t.place.tell(t.types)
	if t.subscription.Opened != nil {
		t.subscription.Opened("")
	}
	for t.reader == nil { // nothing matches yet
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-t.again():
		}
		if changed, err = t.add(ctx, autobus.Start{Earliest: true}); err != nil {
			return err
		}
		t.place.check(t.types)
	}
	defer t.reader.Close()
	for {
		ds, err := t.poll(ctx, changed)
		if ctx.Err() != nil {
			return nil
		}
		if len(ds) > 0 {
			h(ctx, ds)
		}
		if err != nil {
			return err
		}
		t.place.check(t.types)
		if fired(changed) || t.missing {
			// What appeared after the tail began is new from its first record on.
			if changed, err = t.add(ctx, autobus.Start{Earliest: true}); err != nil {
				return err
			}
			t.place.check(t.types)
		}
	}
}

// again fires when missing topics are to be asked for; never, when none is missing.
func (t *tail) again() <-chan time.Time {
	if !t.missing {
		return nil
	}
	return time.After(missingEvery)
}

func fired(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// poll waits for records, and no longer than until there may be more types to read.
func (t *tail) poll(ctx context.Context, changed <-chan struct{}) ([]autobus.Delivery, error) {
	pctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, again := make(chan struct{}), t.again()
	defer close(stop)
	go func() {
		select {
		case <-changed:
			cancel()
		case <-again:
			cancel()
		case <-stop:
		}
	}()
	records, err := t.reader.Poll(pctx)
	if err != nil && pctx.Err() != nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ds := make([]autobus.Delivery, 0, len(records))
	for i := range records {
		if err := newerForm(&records[i]); err != nil {
			return ds, err
		}
		t.place.read(&records[i])
		if records[i].Marker {
			continue
		}
		e := decode(t.bus.cfg.Log.Name(), t.types[records[i].Topic], &records[i])
		wanted, failed := t.filter.pass(&e)
		if failed {
			t.bus.metrics.filterErrors.Inc()
		}
		if wanted {
			ds = append(ds, autobus.Delivery{Event: e, Partition: records[i].Partition, Offset: records[i].Offset,
				Attempt: 1})
		}
	}
	return ds, nil
}

// add begins to read the types that match and are not being read yet.
func (t *tail) add(ctx context.Context, from autobus.Start) (changed <-chan struct{}, err error) {
	table, changed := t.bus.routes.all()
	matching := map[string]string{}
	for name, r := range table {
		if _, reading := t.types[r.Topic]; !reading && r.Topic != "" && t.wants(name) {
			matching[r.Topic] = name
		}
	}
	if t.missing = len(matching) > 0; !t.missing {
		return changed, nil
	}
	at, err := t.positions(ctx, from, slices.Collect(maps.Keys(matching)))
	if err != nil {
		return nil, err
	}
	for tp := range at {
		t.types[tp.Topic] = cmp.Or(matching[tp.Topic], t.types[tp.Topic])
		delete(matching, tp.Topic)
	}
	t.missing = len(matching) > 0
	if len(at) == 0 {
		return changed, nil
	}
	if err := t.enter(ctx, at); err != nil {
		return nil, err
	}
	if t.reader != nil {
		t.reader.Add(at)
		return changed, nil
	}
	t.reader, err = t.bus.cfg.Log.ReadPlaces(at)
	return changed, err
}

func (t *tail) wants(name string) bool {
	return t.who.May(autobus.VerbSubscribe, name) &&
		slices.ContainsFunc(t.subscription.Tail, func(p string) bool { return autobus.MatchType(p, name) })
}

func (t *tail) positions(ctx context.Context, from autobus.Start, topics []string) (map[kafka.TP]int64, error) {
	switch {
	case len(from.Cursors) > 0:
		return t.cursors(ctx, from, topics)
	case !from.Time.IsZero():
		return t.bus.cfg.Log.At(ctx, from.Time, topics...)
	case from.Earliest:
		return t.bus.cfg.Log.Starts(ctx, topics...)
	}
	return t.bus.cfg.Log.Ends(ctx, topics...)
}
