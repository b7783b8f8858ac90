// SPDX-License-Identifier: Apache-2.0

// Limits measures what a gateway with much to keep needs: 1,000 types, 200 subscriptions, 1,000 idle sessions, then a
// steady load.
//
//	go run ./test/limits -specs DIR                            writes the specs of the types, for the gateway's --specs
//	go run ./test/limits -url http://localhost:7070 -for 10m   measures a gateway that runs with them
//
// It prints resident memory, goroutines and descriptors of the gateway as its /metrics tells them: empty, full, and,
// after as many events as the gateway remembers ids of, during the load each 10 s; then the slope of the memory from
// minute 2 on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

const (
	types         = 1000
	subscriptions = 200
	sessions      = 1000
	ticks         = 50 // batches a second of the steady load
	fill          = 500_000
)

const (
	every = 10 * time.Second   // a sample of the steady load
	least = settling + 2*every // of the steady load: a slope needs two samples
)

func main() {
	specs := flag.String("specs", "", "write the specs into this folder and end")
	url := flag.String("url", "http://localhost:7070", "the gateway")
	token := flag.String("token", os.Getenv("AUTOBUS_TOKEN"), "token with all grants")
	load := flag.Duration("for", 10*time.Minute, "how long the steady load lasts")
	rate := flag.Int("rate", 1000, "events a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *specs != "":
		err = writeSpecs(*specs)
	case *load < least, *rate < ticks:
		err = fmt.Errorf("-for is at least %s, since what counts begins after %s, and -rate at least %d", least, settling,
			ticks)
	default:
		err = measure(ctx, &limits{out: os.Stdout, url: *url, token: *token, rate: *rate, load: *load})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "limits:", err)
		os.Exit(1)
	}
}

func typeName(i int) string { return fmt.Sprintf("limits.thing.n%d.v1", i) }

func writeSpecs(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "events", "limits"), 0o755); err != nil {
		return err
	}
	for i := range types {
		name := typeName(i)
		file := filepath.Join(dir, "events", "limits", fmt.Sprintf("thing.n%d.v1.yaml", i))
		if err := os.WriteFile(file, fmt.Appendf(nil, specText, name, name), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const specText = `asyncapi: 3.1.0
id: urn:event:%s
info:
  title: a thing
  version: 1.0.0
  description: What the limits are measured with.
  tags: [{name: 'kind:event'}, {name: 'domain:limits'}]
  x-owner: limits
  x-lifecycle: active
channels:
  thing:
    address: %s
    messages: {thing: {$ref: '#/components/messages/thing'}}
    x-durability: best-effort
    bindings:
      kafka:
        partitions: 1
        topicConfiguration: {cleanup.policy: [delete], retention.ms: 3600000}
        bindingVersion: 0.5.0
operations:
  publish: {action: send, channel: {$ref: '#/channels/thing'}}
components:
  messages:
    thing:
      name: Thing
      bindings: {kafka: {key: {type: string, x-from: /id}, bindingVersion: 0.5.0}}
      payload:
        type: object
        required: [id]
        properties:
          id: {type: string, maxLength: 40}
          note: {type: string, maxLength: 2000}
`

// limits is one measurement.
type limits struct {
	out        io.Writer
	url, token string
	rate       int
	load       time.Duration

	open   []*client.Client
	served atomic.Int64 // events that workers acked
}

func (l *limits) client() (*client.Client, error) {
	c, err := client.New(client.Config{URL: l.url, Token: l.token, Service: "limits",
		Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		l.open = append(l.open, c)
	}
	return c, err
}

func measure(ctx context.Context, l *limits) error {
	empty, err := l.sample(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(l.out, "with the types alone  ", empty)
	working, leave := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer func() {
		leave()
		workers.Wait()
		for _, c := range l.open {
			_ = c.Close(context.Background())
		}
	}()
	ready := make(chan error, sessions)
	for i := range sessions {
		c, err := l.client()
		if err != nil {
			return err
		}
		workers.Go(func() { l.work(working, c, i%subscriptions, ready) })
	}
	for range sessions {
		if err := <-ready; err != nil {
			return err
		}
	}
	if err := rest(ctx, 30*time.Second); err != nil {
		return err
	}
	full, err := l.sample(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "%d subscriptions, %d idle sessions  %s\n", subscriptions, sessions, full)
	if err := l.fill(ctx); err != nil {
		return err
	}
	return l.steady(ctx)
}

// work is one session of a subscription, which has five types of its own.
func (l *limits) work(ctx context.Context, c *client.Client, n int, ready chan<- error) {
	const each = types / subscriptions
	p := autobus.Policy{}
	for t := range each {
		p.Types = append(p.Types, typeName(n*each+t))
	}
	told := sync.OnceFunc(func() { ready <- nil })
	w := autobus.Worker{Bus: opened{c, told}, Subscription: fmt.Sprintf("limits-%d", n), Create: &p, Workers: 2,
		Handle: func(context.Context, *autobus.Delivery) error {
			l.served.Add(1)
			return nil
		}}
	if err := w.Run(ctx); err != nil && ctx.Err() == nil {
		ready <- fmt.Errorf("a worker ended: %w", err)
	}
}

// opened tells when a subscription is open.
type opened struct {
	autobus.Bus
	told func()
}

func (o opened) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	before := s.Opened
	s.Opened = func(a autobus.Address) {
		if before != nil {
			before(a)
		}
		o.told()
	}
	return o.Bus.Subscribe(ctx, s, h)
}

// fill publishes as many events as the gateway remembers ids of, and waits until they are handled: what it keeps of
// them grows with the first ones, and then no more.
func (l *limits) fill(ctx context.Context) error {
	bus, err := l.client()
	if err != nil {
		return err
	}
	const batch = 1000
	for n := range fill / batch {
		if err := publish(ctx, bus, n, batch); err != nil {
			return err
		}
	}
	for l.served.Load() < fill {
		if err := rest(ctx, time.Second/ticks); err != nil {
			return err
		}
	}
	return nil
}

// publish publishes the n-th batch over all types.
func publish(ctx context.Context, bus autobus.Bus, n, size int) error {
	b := &autobus.Batch{Events: make([]autobus.Event, size)}
	for i := range b.Events {
		b.Events[i] = autobus.Event{Type: typeName((n*size + i) % types),
			Data: fmt.Appendf(nil, `{"id":"k-%d","note":"%0900d"}`, n%5000, i)}
	}
	if err := bus.Publish(ctx, b); err != nil {
		return err
	}
	for _, r := range b.Wait(ctx) {
		if r.Status != autobus.Written {
			return fmt.Errorf("an event is %s: %w", r.Status, r.Err)
		}
	}
	return nil
}

// steady publishes at the rate over all types, and tells how the gateway grows.
func (l *limits) steady(ctx context.Context) error {
	bus, err := l.client()
	if err != nil {
		return err
	}
	var all samples
	began, published := time.Now(), 0
	tick := time.NewTicker(time.Second / ticks)
	defer tick.Stop()
	next := began
	for n := 0; time.Since(began) < l.load; n++ {
		if err := publish(ctx, bus, n, l.rate/ticks); err != nil {
			return err
		}
		published += l.rate / ticks
		if now := time.Now(); !now.Before(next) {
			s, err := l.sample(ctx)
			if err != nil {
				return err
			}
			all.add(now.Sub(began), s)
			at := now.Sub(began).Round(time.Second)
			fmt.Fprintf(l.out, "%6s  %s, %d published, %d handled\n", at, s, published, l.served.Load())
			next = next.Add(every)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return all.tell(l.out)
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return errors.New("interrupted")
	}
}
