// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/wire"
)

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]client.Config{
		"no URL": {}, "no scheme": {URL: "localhost:7070"}, "no host": {URL: "http://"}, "ftp": {URL: "ftp://x"},
		"one bad of two": {URL: "http://a,b"},
		"two tokens": {URL: "http://a", Token: "x", TokenFunc: func(context.Context) (string, time.Time, error) {
			return "", time.Time{}, nil
		}},
		"backoff": {URL: "http://a", MinBackoff: 2, MaxBackoff: 1},
	} {
		if _, err := client.New(cfg); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonConfigInvalid}) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestReady(t *testing.T) {
	g := newGateway(t)
	var up atomic.Bool
	g.accept = func(w http.ResponseWriter, r *http.Request) bool {
		if !up.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
		}
		return up.Load()
	}
	asked, hold := make(chan struct{}), make(chan struct{})
	g.script = func(c *link, f *frame) bool {
		if f.Op == "subscribe" {
			close(asked)
			<-hold
		}
		return false
	}
	c := g.client()
	if err := c.Ready(); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonServerUnreachable}) {
		t.Errorf("before the connection: %v", err)
	}
	up.Store(true)
	b := batch("a")
	publish(t, c, b)
	receipts(t, b, autobus.Written)
	if err := c.Ready(); err != nil {
		t.Errorf("connected: %v", err)
	}
	r := read(t, c, autobus.Subscription{Name: "billing"})
	await(t, "the subscription", asked)
	if err := c.Ready(); err == nil {
		t.Error("ready without the subscription")
	}
	close(hold)
	await(t, "the opening", r.opened)
	if err := c.Ready(); err != nil {
		t.Errorf("open: %v", err)
	}
	up.Store(false)
	g.cut()
	bustest.Eventually(t, "the loss", func(context.Context) bool { return c.Ready() != nil })
	if err := c.Live(); err != nil {
		t.Errorf("live: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := await(t, "the end", r.ended); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonShuttingDown}) {
		t.Errorf("the subscription ended with %v", err)
	}
	for _, err := range []error{c.Live(), c.Ready(), c.Publish(t.Context(), b), c.Settle(t.Context(), nil),
		c.Subscribe(t.Context(), autobus.Subscription{Name: "x"}, nil)} {
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonShuttingDown}) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestCloseWaitsForReceipts(t *testing.T) {
	g := newGateway(t)
	proceed := make(chan struct{})
	g.script = func(c *link, f *frame) bool {
		if f.Op == "publish" {
			<-proceed
		}
		return false
	}
	c := g.client()
	b := batch("a")
	publish(t, c, b)
	ended := make(chan error, 1)
	go func() { ended <- c.Close(context.Background()) }()
	bustest.Eventually(t, "the end to begin", func(context.Context) bool { return c.Live() != nil })
	close(proceed)
	if err := await(t, "the end", ended); err != nil {
		t.Error(err)
	}
	receipts(t, b, autobus.Written)
	g.await("the goodbye", func() bool { return len(g.links) == 0 })

	silent := newGateway(t)
	seen := make(chan struct{})
	silent.script = func(c *link, f *frame) bool { close(seen); return true }
	c = silent.client()
	publish(t, c, b)
	<-seen
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed with %v", err)
	}
	receipts(t, b, autobus.Unknown)
}

// TestPublishWaitsForRoom: when nothing is answered, publishing ends with its context, and nothing of it was sent.
func TestPublishWaitsForRoom(t *testing.T) {
	g := newGateway(t)
	proceed, first := make(chan struct{}), make(chan struct{})
	g.script = func(c *link, f *frame) bool {
		if f.Op == "publish" && f.events[0].ID == "a" {
			close(first)
			<-proceed
		}
		return false
	}
	c := g.client(func(cfg *client.Config) { cfg.MaxInFlightBytes = 300 })
	a, b, d := batch("a"), batch("b"), batch("d")
	publish(t, c, a)
	<-first
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Publish(ctx, b); !errors.Is(err, context.DeadlineExceeded) ||
		!errors.Is(err, &autobus.Error{Reason: autobus.ReasonCapacity}) {
		t.Errorf("got %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Publish(context.Background(), d) }()
	close(proceed)
	if err := await(t, "room", done); err != nil {
		t.Error(err)
	}
	receipts(t, d, autobus.Written)
	if _, sent := g.at["b"]; sent {
		t.Error("b was sent")
	}
}

func TestTokenIsRenewed(t *testing.T) {
	g := newGateway(t)
	w := watch(g)
	g.accept = func(rw http.ResponseWriter, r *http.Request) bool {
		ok := r.Header.Get("Authorization") == "Bearer t2"
		if !ok {
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = rw.Write([]byte(problem(autobus.ReasonUnauthenticated)))
		}
		if agent := r.Header.Get("User-Agent"); agent != "shop/1.2 autobus-go" {
			t.Errorf("the client calls itself %q", agent)
		}
		return ok
	}
	var asked atomic.Int32
	c := g.client(func(cfg *client.Config) {
		cfg.Service, cfg.Version = "shop", "1.2"
		cfg.TokenFunc = func(context.Context) (string, time.Time, error) {
			switch asked.Add(1) {
			case 1:
				return "t1", time.Now().Add(time.Hour), nil // refused
			case 2:
				return "t2", time.Now().Add(50 * time.Millisecond), nil
			}
			return "t3", time.Now().Add(time.Hour), nil
		}
	})
	b := batch("a")
	publish(t, c, b)
	receipts(t, b, autobus.Written)
	if f, _ := w.next("auth", 1); f.Token != "t3" {
		t.Errorf("renewed with %q", f.Token)
	}
}

// TestRefusedToken: who is not let in hears so at once.
func TestRefusedToken(t *testing.T) {
	g := newGateway(t)
	g.accept = func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	c := g.client(func(cfg *client.Config) { cfg.Token = "bad" })
	want := &autobus.Error{Reason: autobus.ReasonUnauthenticated}
	if err := c.Subscribe(t.Context(), autobus.Subscription{Name: "x"}, nil); !errors.Is(err, want) {
		t.Errorf("subscribe: %v", err)
	}
	ss := []autobus.Settlement{{Lease: "L.1", Outcome: autobus.Outcome{Kind: autobus.Ack}}}
	if err := c.Settle(t.Context(), ss); !errors.Is(err, want) {
		t.Errorf("settle: %v", err)
	}
	if err := c.Ready(); !errors.Is(err, want) {
		t.Errorf("ready: %v", err)
	}
}

// TestSeveralGateways: when one goes down, the next one takes over, and takes what it refused.
func TestSeveralGateways(t *testing.T) {
	one, two := newGateway(t), newGateway(t)
	one.script = func(c *link, f *frame) bool {
		if f.Op == "publish" {
			c.text(`{"op":"error","seq":%d,"error":%s}`, *f.Seq, problem(autobus.ReasonShuttingDown))
		}
		return f.Op == "publish"
	}
	c := one.client(func(cfg *client.Config) { cfg.URL += ", " + two.url })
	for _, id := range []string{"a", "b", "c"} {
		b := batch(id)
		publish(t, c, b)
		receipts(t, b, autobus.Written)
	}
	if len(two.log) != 3 || len(one.log) != 0 {
		t.Errorf("the first has %d events, the second %d", len(one.log), len(two.log))
	}
}

// TestTooLargeForTheGateway: what would cost the connection is refused before.
func TestTooLargeForTheGateway(t *testing.T) {
	g := newGateway(t)
	g.limits = `{"frame_bytes":300}`
	c := g.client()
	large, small := batch("a", "b", "d", "e"), batch("f")
	publish(t, c, large)
	publish(t, c, small)
	if r := receipts(t, large, autobus.Refused)[0]; r.Err.Reason != autobus.ReasonBatchTooLarge {
		t.Errorf("refused with %v", r.Err)
	}
	receipts(t, small, autobus.Written)
	many := &autobus.Batch{Events: make([]autobus.Event, 9)}
	for i := range many.Events {
		many.Events[i] = autobus.Event{Type: placed, Data: make([]byte, 1_000_000)}
	}
	if err := c.Publish(t.Context(), many); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonBatchTooLarge}) {
		t.Errorf("9 MB: got %v", err)
	}
}

// TestNoGatewayTakesIt: what every gateway refused to look at was certainly not written.
func TestNoGatewayTakesIt(t *testing.T) {
	// In a bubble nothing is under way when ResendFor is over: that would be unknown.
	bubble(t, func(t *testing.T, g *gateway, dial func(...func(*client.Config)) *client.Client) {
		g.script = func(c *link, f *frame) bool {
			if f.Op == "publish" {
				c.text(`{"op":"error","seq":%d,"error":%s}`, *f.Seq, problem(autobus.ReasonShuttingDown))
			}
			return f.Op == "publish"
		}
		c := dial(func(cfg *client.Config) { cfg.ResendFor = 100 * time.Millisecond })
		b := batch("a")
		publish(t, c, b)
		receipts(t, b, autobus.Refused)
	})
}

// TestGatewayThatIsDown: the next address is tried.
func TestGatewayThatIsDown(t *testing.T) {
	down, up := newGateway(t), newGateway(t)
	down.stop()
	c := up.client(func(cfg *client.Config) { cfg.URL = down.url + "," + up.url })
	b := batch("a")
	publish(t, c, b)
	receipts(t, b, autobus.Written)
}

// TestGarbage: a gateway that cannot be understood is left.
func TestGarbage(t *testing.T) {
	for name, garbage := range map[string]func(c *link, f *frame){
		"short":    func(c *link, f *frame) { c.binary([]byte{0, 0}) },
		"no JSON":  func(c *link, f *frame) { c.text("x") },
		"receipts": func(c *link, f *frame) { c.published(*f.Seq, "", make([]autobus.Receipt, 5)...) },
		"records":  func(c *link, f *frame) { c.binary([]byte("\x00\x00\x00\x0e{\"op\":\"events\"\xff")) },
		"nobody asked": func(c *link, f *frame) {
			c.published(99, "")
			c.acked(99, "")
			c.text(`{"op":"unheard","of":1}`)
			c.text(`{"op":"subscribed","seq":77}`)
			c.answer(f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			first := true
			g.script = func(c *link, f *frame) bool {
				if first && f.Op == "publish" {
					first = false
					garbage(c, f)
					return true
				}
				return false
			}
			c := g.client()
			b := batch("a")
			publish(t, c, b)
			receipts(t, b, autobus.Written)
		})
	}
}

// Close keeps its time, even when a tail's reader is not done with what it got.
func TestCloseDoesNotWaitForATailThatHangs(t *testing.T) {
	g := newGateway(t)
	big := strings.Repeat("x", 700<<10)
	g.script = func(c *link, f *frame) bool {
		if f.Op != "tail" {
			return false
		}
		c.answer(f)
		for i := range int64(3) {
			d := autobus.Delivery{Event: autobus.Event{ID: "a", Type: placed, Source: "/test", Data: []byte(big)}, Offset: i}
			c.binary(wire.AppendEvents(nil, "", f.Seq, []*autobus.Delivery{&d}))
		}
		return true
	}
	c := g.client()
	hangs, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		n := 0
		ended <- c.Subscribe(t.Context(), autobus.Subscription{Tail: []string{placed}},
			func(context.Context, []autobus.Delivery) {
				if n++; n == 1 {
					close(hangs)
				}
				<-goOn
			})
	}()
	<-hangs
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	closed := make(chan struct{})
	go func() {
		_ = c.Close(ctx)
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("Close hangs")
	}
	close(goOn)
	<-closed
	if err := <-ended; err == nil {
		t.Error("the tail of a closed client ended without an error")
	}
}
