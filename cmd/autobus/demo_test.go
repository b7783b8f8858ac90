// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// specBus judges events by specs and keeps them.
type specBus struct {
	autobus.Bus
	t        *testing.T
	snapshot *spec.Snapshot
	events   map[string][]autobus.Event // by type
}

func (b *specBus) Publish(ctx context.Context, batch *autobus.Batch) error {
	if err := batch.Open(); err != nil {
		return err
	}
	p, _ := autobus.PrincipalOf(ctx)
	for i := range batch.Events {
		e := &batch.Events[i]
		typ, ok := b.snapshot.Type(e.Type)
		if !ok || !p.May(autobus.VerbPublish, e.Type) {
			b.t.Fatalf("type %s: declared %t, principal %s", e.Type, ok, p.Name)
		}
		if err := typ.Check(e.Data); err != nil {
			b.t.Errorf("%s %s: %v %v", e.Type, e.Data, err, err.Faults)
		}
		if key, err := typ.Key(e.Data); err != nil || len(key) == 0 {
			b.t.Errorf("%s %s: key %q, %v", e.Type, e.Data, key, err)
		}
		e.ID = string(rune('a' + len(b.events[e.Type])%26))
		b.events[e.Type] = append(b.events[e.Type], *e)
		batch.Resolve(i, autobus.Receipt{Status: autobus.Written})
	}
	return nil
}

// Everything that the demo makes up is what its own specs declare, and an order is never paid or shipped unplaced.
func TestDemoKeepsToItsSpecs(t *testing.T) {
	files, err := demoSpecs()
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := spec.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	b := &specBus{t: t, snapshot: snapshot, events: map[string][]autobus.Event{}}
	d := newDemo(b, slog.New(slog.DiscardHandler))
	ctx := autobus.WithPrincipal(t.Context(), demoPrincipal())
	for range 2000 {
		if err := d.step(ctx); err != nil {
			t.Fatal(err)
		}
		if len(d.waiting) > maxWaiting || len(d.paid) > maxWaiting {
			t.Fatalf("%d orders wait to be paid, %d to be shipped", len(d.waiting), len(d.paid))
		}
	}
	orders := map[string]int{}
	for want, typ := range []string{demoPlaced, demoPaid, demoShipped} {
		if len(b.events[typ]) < 100 {
			t.Errorf("%d events of %s", len(b.events[typ]), typ)
		}
		for _, e := range b.events[typ] {
			order, _ := e.Ext(autobus.ExtCorrelationID)
			_, caused := e.Ext(autobus.ExtCausationID)
			if orders[order] < want || caused != (want > 0) {
				t.Errorf("%s of order %s after %d steps, has a cause: %t", typ, order, orders[order], caused)
			}
			orders[order] = want + 1
		}
	}
}
