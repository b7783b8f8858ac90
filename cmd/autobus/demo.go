// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// The specs of the demo flow.
//
//go:embed demo
var embedded embed.FS

// builtinPrefix keeps the paths of embedded specs apart from those of the user's folder, with which they are pushed.
const builtinPrefix = "autobus-dev/"

// demoSpecs are the embedded specs that dev pushes beside the user's.
func demoSpecs() (spec.Files, error) {
	out := spec.Files{}
	names, err := fs.Glob(embedded, "demo/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if out[builtinPrefix+name], err = fs.ReadFile(embedded, name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Types of the demo flow.
const (
	demoPlaced  = "demo.order.placed.v1"
	demoPaid    = "demo.order.paid.v1"
	demoShipped = "demo.order.shipped.v1"
)

// demoEvery is the pace of the flow: about two events a second.
const demoEvery = 500 * time.Millisecond

// maxWaiting bounds the orders that wait for their next step; the dice alone would let them grow.
const maxWaiting = 20

// demo makes up orders that are placed, paid and shipped. One goroutine owns it.
type demo struct {
	bus     autobus.Bus
	logger  *slog.Logger
	random  *rand.Rand
	waiting []demoOrder // placed, not paid
	paid    []demoOrder // paid, not shipped
}

type demoOrder struct {
	id       string
	currency string
	total    int
	cause    string // id of its last event
}

func newDemo(bus autobus.Bus, logger *slog.Logger) *demo {
	return &demo{bus: bus, logger: logger, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
}

// demoPrincipal may do no more than the flow does.
func demoPrincipal() autobus.Principal {
	return autobus.Principal{Name: "demo", Grants: []autobus.Grant{{Verb: autobus.VerbPublish, Pattern: "demo.*"}}}
}

// Run publishes until ctx ends. An event that is not written is said once and left out: the demo must not fill the
// log of somebody who fills his disk.
func (d *demo) Run(ctx context.Context) error {
	ctx = autobus.WithPrincipal(ctx, demoPrincipal())
	tick := time.NewTicker(demoEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := d.step(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			d.logger.Warn("the demo flow cannot publish; it keeps trying", "error", err)
		}
		failing = err != nil
	}
}

// step moves the oldest order that is due, or places a new one. Most orders are paid, and shipped soon after.
func (d *demo) step(ctx context.Context) error {
	switch dice := d.random.IntN(100); {
	case dice < 30 && len(d.paid) > 0, len(d.paid) >= maxWaiting:
		o := d.paid[0]
		d.paid = d.paid[1:]
		_, err := d.publish(ctx, demoShipped, o, map[string]any{
			"order_id": o.id, "carrier": pick(d.random, "courier", "locker", "post"), "parcels": 1 + d.random.IntN(2),
		})
		return err
	case dice < 60 && len(d.waiting) > 0, len(d.waiting) >= maxWaiting:
		o := d.waiting[0]
		d.waiting = d.waiting[1:]
		if d.random.IntN(20) == 0 {
			return nil // never paid: every shop has some
		}
		id, err := d.publish(ctx, demoPaid, o, map[string]any{
			"order_id": o.id, "method": pick(d.random, "card", "card", "cash", "transfer"), "amount": o.total,
			"currency": o.currency,
		})
		if err == nil {
			o.cause = id
			d.paid = append(d.paid, o)
		}
		return err
	}
	o, data := d.place()
	id, err := d.publish(ctx, demoPlaced, o, data)
	if err == nil {
		o.cause = id
		d.waiting = append(d.waiting, o)
	}
	return err
}

func (d *demo) place() (demoOrder, map[string]any) {
	country := pick(d.random, "by", "kz", "ru", "ua")
	o := demoOrder{
		id:       fmt.Sprintf("o-%06d", d.random.IntN(1_000_000)),
		currency: map[string]string{"by": "BYN", "kz": "KZT", "ru": "RUB", "ua": "UAH"}[country],
	}
	var items []map[string]any
	for range 1 + d.random.IntN(3) {
		quantity, price := 1+d.random.IntN(2), 990+100*d.random.IntN(300)
		items = append(items, map[string]any{
			"sku":      pick(d.random, "boots", "coat", "dress", "hat", "socks") + fmt.Sprintf("-%d", 36+d.random.IntN(12)),
			"quantity": quantity, "price": price,
		})
		o.total += quantity * price
	}
	return o, map[string]any{
		"order_id": o.id, "customer": pick(d.random, "Asel", "Boris", "Mira", "Oksana", "Timur", "Vera"),
		"country": country, "currency": o.currency, "items": items, "total": o.total,
	}
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// publish sends one event of an order and waits for its receipt.
func (d *demo) publish(ctx context.Context, typ string, o demoOrder, data any) (id string, err error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return "", err
	}
	e := autobus.Event{Type: typ, Source: "/demo/shop", Data: raw}
	e.SetExt(autobus.ExtCorrelationID, o.id)
	if o.cause != "" {
		e.SetExt(autobus.ExtCausationID, o.cause)
	}
	b := &autobus.Batch{Events: []autobus.Event{e}}
	if err := d.bus.Publish(ctx, b); err != nil {
		return "", err
	}
	if r := b.Wait(ctx)[0]; r.Status != autobus.Written {
		return "", r.Err
	}
	return b.Events[0].ID, nil
}
