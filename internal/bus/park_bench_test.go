// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// BenchmarkPark reads events of 1 KB by a subscription whose worker acks them, and by one whose worker has the events
// of 1 % of the keys come again in ten minutes. What counts is the ratio of the rates of all others.
func BenchmarkPark(b *testing.B) {
	const events = 400_000
	f := open(b)
	note := strings.Repeat("n", 960)
	for n := 0; n < events; n += autobus.MaxBatchEvents {
		batch := &autobus.Batch{Events: make([]autobus.Event, autobus.MaxBatchEvents)}
		for i := range batch.Events {
			batch.Events[i] = autobus.Event{Type: orders,
				Data: []byte(`{"id":"o-` + strconv.Itoa((n+i)%1000) + `","total":12.5,"note":"` + note + `"}`)}
		}
		f.publishAll(b, batch)
	}
	round := func(b *testing.B, name string, fails func(key string) bool) {
		ctx, stop := context.WithCancel(f.ctx)
		n := 0
		var all []autobus.Settlement
		err := f.Subscribe(ctx, autobus.Subscription{Name: name,
			Create: &autobus.Policy{Types: []string{orders}, Start: autobus.Start{Earliest: true}},
			Window: &autobus.Window{Events: 1000, Bytes: 8 << 20}},
			func(_ context.Context, ds []autobus.Delivery) {
				all = all[:0]
				for i := range ds {
					o := autobus.Outcome{Kind: autobus.Ack}
					if fails(string(ds[i].Key)) {
						o = autobus.Outcome{Kind: autobus.Retry, Delay: 10 * time.Minute}
					} else {
						n++
					}
					all = append(all, autobus.Settlement{Lease: ds[i].Lease, Outcome: o})
				}
				if err := f.Settle(f.ctx, all); err != nil {
					b.Error(err)
				}
				if n >= events/100*99 {
					stop()
				}
			})
		if err != nil {
			b.Fatal(err)
		}
	}
	i := 0
	for _, c := range []struct {
		name  string
		fails func(key string) bool
	}{
		{"undisturbed", func(string) bool { return false }},
		{"failing", func(key string) bool { return strings.HasSuffix(key, "77") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			before := cpu(b)
			for range b.N {
				i++
				round(b, "park-"+strconv.Itoa(i), c.fails)
			}
			done := float64(b.N * events / 100 * 99)
			b.ReportMetric(done/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/done, "cpu-us/event")
		})
	}
}

func (f *fixture) publishAll(b *testing.B, batch *autobus.Batch) {
	b.Helper()
	if err := f.Publish(f.ctx, batch); err != nil {
		b.Fatal(err)
	}
	for _, rc := range batch.Wait(b.Context()) {
		if rc.Err != nil {
			b.Fatal(rc.Err)
		}
	}
}
