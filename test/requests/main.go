// SPDX-License-Identifier: Apache-2.0

// Requests measures what it costs to ask over the bus, and looks for answers that went astray:
//
//	go run ./test/requests -specs DIR                     writes the spec of the type, for the gateway's --specs
//	go run ./test/requests -url http://localhost:7070     measures a gateway that runs with it
//	go run ./test/requests -url URL -only expired,rolling makes some of its runs
//
// Its runs: "rate" asks so many times a second over HTTP without a bus, by package ipc, and by POST /v1/requests, one
// after the other in rounds, and shows them side by side. "outstanding" asks so often before anybody answers.
// "expired" lets requests grow old before a server comes, which must not begin them. "rolling" stops and starts three
// servers in turn under load.
//
// Every request carries a number of its own, and every answer has to repeat it. The exit status is 1 when an answer
// went to the wrong caller, a call failed, or work began that was too late.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/ipc"
)

const (
	quotes  = "requests.quote.price.v1" // what is asked
	pricing = "requests-pricing"        // who answers
)

func main() {
	var m measure
	specs := flag.String("specs", "", "write the spec into this folder and end")
	only := flag.String("only", "rate,outstanding,expired,rolling", "the runs to make")
	flag.StringVar(&m.url, "url", "http://localhost:7070", "the gateway, or several separated by commas")
	flag.StringVar(&m.token, "token", os.Getenv("AUTOBUS_TOKEN"), "token with grants to request, subscribe and manage")
	flag.IntVar(&m.rate, "rate", 500, "requests a second in the run rate")
	flag.IntVar(&m.rounds, "rounds", 3, "rounds of it")
	flag.DurationVar(&m.round, "round", 20*time.Second, "how long each of its parts lasts in each of them")
	flag.IntVar(&m.outstanding, "outstanding", 10_000, "requests without an answer at a time")
	flag.Parse()
	m.out = os.Stdout
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := error(nil)
	if *specs != "" {
		err = writeSpec(*specs)
	} else {
		err = m.run(ctx, strings.Split(*only, ","))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "requests:", err)
		os.Exit(1)
	}
}

func writeSpec(dir string) error {
	dir = filepath.Join(dir, "events", "requests")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "quote.price.v1.yaml"), []byte(specText), 0o644)
}

const specText = `asyncapi: 3.1.0
info: {title: requests.quote.price, version: 1.0.0, tags: [{name: 'kind:query'}]}
channels:
  request:
    address: requests.quote.price.v1
    messages: {it: {payload: {type: object, required: [n], properties: {n: {type: integer}}}}}
    x-durability: best-effort
    bindings: {kafka: {partitions: 6, bindingVersion: 0.5.0}}
  reply:
    address: requests.quote.price.v1.reply
    messages: {it: {payload: {type: object, required: [n], properties: {n: {type: integer}}}}}
`

// nonce is what a request says and its answer repeats.
type nonce struct {
	N int64 `json:"n"`
}

// measure is one measurement.
type measure struct {
	out           io.Writer
	url, token    string
	rate, rounds  int
	round         time.Duration
	outstanding   int
	next, crossed atomic.Int64
	open          []*client.Client
}

// run makes the runs of these names.
func (m *measure) run(ctx context.Context, names []string) error {
	runs := map[string]func(context.Context) error{"rate": m.compare, "outstanding": m.pile, "expired": m.expire,
		"rolling": m.roll}
	defer func() {
		for _, c := range m.open {
			_ = c.Close(context.Background())
		}
	}()
	for _, name := range names {
		one, ok := runs[name]
		if !ok {
			return fmt.Errorf("there is no run %q", name)
		}
		if err := one(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if n := m.crossed.Load(); n > 0 {
		return fmt.Errorf("%d answers went to another caller than the one who had asked", n)
	}
	return ctx.Err()
}

func (m *measure) client() (*client.Client, error) {
	c, err := client.New(client.Config{URL: m.url, Token: m.token, Service: "requests",
		Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		m.open = append(m.open, c)
	}
	return c, err
}

// caller opens an inbox.
func (m *measure) caller(ctx context.Context) (*ipc.Caller, error) {
	c, err := m.client()
	if err != nil {
		return nil, err
	}
	return ipc.Open(ctx, c)
}

// check looks whether an answer is that of the request.
func (m *measure) check(asked, answered nonce) error {
	if asked != answered {
		m.crossed.Add(1)
		return fmt.Errorf("asked %d, answered %d", asked.N, answered.N)
	}
	return nil
}

// ask asks by package ipc.
func (m *measure) ask(ctx context.Context, c *ipc.Caller) error {
	n := nonce{m.next.Add(1)}
	r, err := c.Call(ctx, quotes, n)
	if err != nil {
		return err
	}
	var got nonce
	if err := r.Decode(&got); err != nil {
		return err
	}
	return m.check(n, got)
}

// server answers requests by what handle returns, until stop is called, which waits for its end.
func (m *measure) server(ctx context.Context, workers int, handle ipc.HandleFunc) (stop func() error, err error) {
	c, err := client.New(client.Config{URL: m.url, Token: m.token, Service: "requests",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	ready, ended := make(chan struct{}, 1), make(chan error, 1)
	w := autobus.Worker{Bus: c, Subscription: pricing, Workers: workers,
		Create: &autobus.Policy{Types: []string{quotes}, Start: autobus.Start{Earliest: true}},
		Window: &autobus.Window{Events: max(workers, 100)}, Handle: ipc.Answer(c, pricing, handle),
		Logger: slog.New(slog.DiscardHandler), Ready: func(is bool) {
			if is {
				select {
				case ready <- struct{}{}:
				default:
				}
			}
		}}
	ctx, cancel := context.WithCancel(ctx)
	go func() { ended <- w.Run(ctx) }()
	stop = func() error {
		cancel()
		err := <-ended
		_ = c.Close(context.Background()) // nothing is under way any more
		return err
	}
	select {
	case <-ready:
		return stop, nil
	case err := <-ended:
		ended <- nil
		return nil, fmt.Errorf("a server ended: %w", err)
	}
}

// echo answers by what was asked.
func echo(_ context.Context, r *ipc.Request) (any, error) {
	return ipc.Raw{ContentType: r.ContentType, Data: r.Data}, nil
}
