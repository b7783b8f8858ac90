// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestClientWhileConnectionsBreak cuts all connections of a client again and again, and then lets its gateway go down
// for another one, while it publishes streams and works on what it publishes. The history has to show each stream in
// order and every event done.
func TestClientWhileConnectionsBreak(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { clientBreaks(t, bustest.Embedded(t), true) })
	t.Run("kafka", func(t *testing.T) { clientBreaks(t, bustest.Cluster(t), false) })
}

func clientBreaks(t *testing.T, k *bustest.Kafka, embedded bool) {
	types := bustest.NewTypes(bustest.Prefix())
	first, target := instance(t, k, "first", embedded)
	target.Push(t, types.Specs())
	second, _ := instance(t, k, "second", embedded)
	p := autobus.Principal{Name: "breaking", Grants: []autobus.Grant{{Verb: autobus.VerbPublish, Pattern: "*"},
		{Verb: autobus.VerbSubscribe, Pattern: "*"}, {Verb: autobus.VerbManage, Pattern: "*"}}}
	one, server := newSite(t, first)
	two := serve(t, second)
	one.principals["token"], two.principals["token"] = p, p
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Run(serving) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	var lines lines
	c, err := client.New(client.Config{URL: "http://" + one.addr + ",http://" + two.addr, Token: "token",
		Dial: lines.dial, Logger: bustest.Logger(t), ResendFor: bustest.Patience, MinBackoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	b := newBreaking(types.Work)
	working, rest := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { b.work(working, t, c) })
	t.Cleanup(func() {
		rest()
		work.Wait()
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	publishing, halt := context.WithCancel(context.Background())
	var streams sync.WaitGroup
	for n := range 4 {
		streams.Go(func() { b.publish(publishing, t, c, n) })
	}
	bustest.Eventually(t, "work", func(context.Context) bool { return b.done.Load() > 50 })
	const cuts = 10
	for range cuts {
		done := b.done.Load()
		lines.cut()
		bustest.Eventually(t, "more work", func(context.Context) bool { return b.done.Load() > done+50 })
	}
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	first.DrainDeliveries(ctx)
	stop()
	done := b.done.Load()
	bustest.Eventually(t, "work over the second gateway", func(context.Context) bool { return b.done.Load() > done+500 })
	halt()
	streams.Wait()
	bustest.Eventually(t, "the end of the work", func(context.Context) bool { return b.done.Load() == b.written.Load() })

	b.history.Read(bustest.ReadAll(t, target.Log, types.Work))
	report := b.history.Check()
	for _, f := range report.Faults[:min(len(report.Faults), 20)] {
		t.Error(f)
	}
	if report.Records < int(b.written.Load()) {
		t.Errorf("%d events were written, the log has %d", b.written.Load(), report.Records)
	}
	if made := lines.made(); made < cuts+2 {
		t.Errorf("%d connections, want one more after each cut and one to the second gateway", made)
	}
	t.Logf("%d events over %d connections, %d of them sent again that were written", b.written.Load(), lines.made(),
		b.duplicates.Load())
}

// lines are the connections that a client opened.
type lines struct {
	mu  sync.Mutex
	all []net.Conn
}

func (l *lines) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		l.mu.Lock()
		l.all = append(l.all, conn)
		l.mu.Unlock()
	}
	return conn, err
}

func (l *lines) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.all {
		_ = conn.Close()
	}
}

func (l *lines) made() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// breaking is what is published and worked on meanwhile.
type breaking struct {
	history                   *bustest.History
	typ                       string
	written, done, duplicates atomic.Int64
	finished                  sync.Map // ids
}

func newBreaking(typ string) *breaking {
	return &breaking{history: bustest.NewHistory(), typ: typ}
}

func (b *breaking) publish(ctx context.Context, t *testing.T, bus autobus.Bus, n int) {
	stream := &autobus.Stream{}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	type flight struct {
		batch    *autobus.Batch
		attempts []*bustest.Attempt
	}
	var flights []flight
	for i := 0; ctx.Err() == nil; {
		<-tick.C
		f := flight{batch: &autobus.Batch{Stream: stream}}
		for range 3 {
			key := fmt.Sprintf("key-%d-%d", n, i%7)
			e := autobus.Event{ID: fmt.Sprintf("id-%d-%d", n, i), Type: b.typ,
				Data: fmt.Appendf(nil, `{"order":%q,"n":%d}`, key, i)}
			f.batch.Events = append(f.batch.Events, e)
			f.attempts = append(f.attempts, b.history.Begin(fmt.Sprint(n), e, key))
			i++
		}
		if err := bus.Publish(context.Background(), f.batch); err != nil {
			t.Errorf("publish: %v", err)
			return
		}
		flights = append(flights, f)
	}
	for _, f := range flights {
		rs := f.batch.Wait(context.Background())
		for i, r := range rs {
			f.attempts[i].End(r)
			if r.Duplicate {
				b.duplicates.Add(1)
			}
		}
		if i := slices.IndexFunc(rs, func(r autobus.Receipt) bool { return r.Status != autobus.Written }); i >= 0 {
			t.Errorf("event %s is %s: %v", f.batch.Events[i].ID, rs[i].Status, rs[i].Err)
		}
		b.written.Add(int64(len(rs)))
	}
}

// work takes what the subscription gives, as a service does.
func (b *breaking) work(ctx context.Context, t *testing.T, bus autobus.Bus) {
	w := autobus.Worker{Bus: bus, Subscription: bustest.Prefix(), Logger: bustest.Logger(t),
		Create: &autobus.Policy{Types: []string{b.typ}, Start: autobus.Start{Earliest: true},
			Retry: autobus.RetryPolicy{Backoff: []autobus.Duration{autobus.Duration(time.Millisecond)}}},
		Handle: func(_ context.Context, d *autobus.Delivery) error {
			if _, twice := b.finished.LoadOrStore(d.ID, true); !twice {
				b.done.Add(1)
			}
			return nil
		}}
	if err := w.Run(ctx); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
}
