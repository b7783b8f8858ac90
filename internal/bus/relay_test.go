// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// fleet is several instances on one broker, which reach each other without a network.
type fleet struct {
	broker string
	mu     sync.Mutex
	all    map[string]*fixture
	away   map[string]bool // those that do not answer
	asked  map[string]int  // how often one was asked to settle
}

func newFleet(t *testing.T, names ...string) (*fleet, []*fixture) {
	t.Helper()
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	fl := &fleet{broker: broker.Addr(), all: map[string]*fixture{}, away: map[string]bool{}, asked: map[string]int{}}
	var out []*fixture
	for _, name := range names {
		out = append(out, fl.start(t, name))
	}
	return fl, out
}

func (fl *fleet) start(t *testing.T, name string) *fixture {
	t.Helper()
	f := openOn(t, fl.broker, func(c *bus.Config, k *kafka.Config) {
		c.Instance, k.ClientID = name, "autobus/"+name+"/"+name+":1"
		c.Dial = func(to, address string) (autobus.Bus, error) {
			if address != to+":1" {
				return nil, fmt.Errorf("the address of %s is %s", to, address)
			}
			return &neighbour{fl, to, name}, nil
		}
	})
	fl.mu.Lock()
	fl.all[name] = f
	fl.mu.Unlock()
	return f
}

// neighbour is an instance as another one sees it.
type neighbour struct {
	fleet    *fleet
	to, from string
}

func (n *neighbour) at(ctx context.Context) (*fixture, context.Context, error) {
	n.fleet.mu.Lock()
	defer n.fleet.mu.Unlock()
	if n.fleet.away[n.to] {
		return nil, nil, errors.New("no answer")
	}
	who, _ := autobus.PrincipalOf(ctx)
	who.Via = n.from
	return n.fleet.all[n.to], autobus.WithPrincipal(ctx, who), nil
}

func (n *neighbour) Publish(context.Context, *autobus.Batch) error { return errors.New("not relayed") }

func (n *neighbour) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	f, ctx, err := n.at(ctx)
	if err != nil {
		return err
	}
	return f.Subscribe(ctx, s, h)
}

func (n *neighbour) Settle(ctx context.Context, ss []autobus.Settlement) error {
	f, ctx, err := n.at(ctx)
	if err != nil {
		return err
	}
	n.fleet.mu.Lock()
	n.fleet.asked[n.to]++
	n.fleet.mu.Unlock()
	return f.Settle(ctx, ss)
}

// single is a subscription to a type of one partition.
func single(t *testing.T, f *fixture) autobus.Policy {
	t.Helper()
	f.route(t, things, 1, true)
	p := earliest
	p.Types = []string{things}
	return p
}

// things publishes events of that type.
func (f *fixture) things(t *testing.T, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if rc := f.one(t, autobus.Event{Type: things, Data: []byte(`{"id":"` + k + `"}`)}); rc.Err != nil {
			t.Fatal(rc.Err)
		}
	}
}

func TestAWorkerWithoutPartitionsGetsEventsOfAnother(t *testing.T) {
	_, fs := newFleet(t, "a", "b", "c")
	p := single(t, fs[0])
	fs[0].put(t, "shop", p)
	fs[0].things(t, "k", "k", "l")
	first := fs[0].worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	d := first.next(t)
	b := fs[1].worker(t, autobus.Subscription{Name: "shop"})
	l := b.next(t) // the other key: the first one is in flight at a
	if string(l.Key) != "l" || string(d.Key) != "k" {
		t.Fatalf("a has %s, b has %s", d.Key, l.Key)
	}
	b.ack(t, l)
	// Any instance settles.
	if err := fs[2].settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err != nil {
		t.Fatal(err)
	}
	if err := fs[2].settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err == nil ||
		err.Reason != autobus.ReasonLeaseStale {
		t.Errorf("a second ack: %v", err)
	}
	first.leave(t, nil)
	k := b.next(t)
	if string(k.Key) != "k" || k.Offset != 1 || k.Fence <= d.Fence {
		t.Fatalf("%+v", k)
	}
	b.leave(t, nil) // says goodbye at a, too
	c := fs[2].worker(t, autobus.Subscription{Name: "shop"})
	again := c.next(t)
	if again.Offset != 1 || again.Attempt != 1 {
		t.Errorf("after a goodbye came %+v", again)
	}
	c.ack(t, again)
}

// A worker's death counts at the owner, wherever the worker was.
func TestADeathIsTold(t *testing.T) {
	_, fs := newFleet(t, "a", "b")
	p := single(t, fs[0])
	fs[0].put(t, "shop", p)
	a := fs[0].worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	fs[0].things(t, "x")
	held := a.next(t)
	fs[0].things(t, "k")
	b := fs[1].worker(t, autobus.Subscription{Name: "shop"})
	b.next(t)
	b.leave(t, autobus.ErrReaderDied)
	a.ack(t, held)
	if d := a.next(t); d.Attempt != 2 {
		t.Errorf("attempt %d, want 2", d.Attempt)
	}
}

func TestALeaseOfAnInstanceThatDoesNotAnswerStands(t *testing.T) {
	fl, fs := newFleet(t, "a", "b")
	fs[0].put(t, "shop", earliest)
	fs[0].orders(t, 1, "k")
	d := fs[0].worker(t, autobus.Subscription{Name: "shop"}).next(t)
	fl.mu.Lock()
	fl.away["a"] = true
	fl.mu.Unlock()
	ack := autobus.Outcome{Kind: autobus.Ack}
	err := fs[1].settle(t, d.Lease, ack)
	if err == nil || err.Reason != autobus.ReasonPeerUnreachable || !err.Retriable() {
		t.Errorf("got %v", err)
	}
	fl.mu.Lock()
	fl.away["a"] = false
	fl.mu.Unlock()
	if err := fs[1].settle(t, d.Lease, ack); err != nil {
		t.Error(err)
	}
}

// Own leases do not wait for others; each result is in its place; one call goes to each instance.
func TestEachLeaseIsJudgedByItsInstance(t *testing.T) {
	fl, fs := newFleet(t, "a", "b")
	for i, f := range fs {
		name := fmt.Sprint("shop-", i)
		f.put(t, name, earliest)
		if _, err := fs[1-i].Lag(f.ctx, name); err != nil { // the other one knows of it
			t.Fatal(err)
		}
	}
	fs[0].orders(t, 3, "k", "l", "m")
	a := fs[0].worker(t, autobus.Subscription{Name: "shop-0"})
	b := fs[1].worker(t, autobus.Subscription{Name: "shop-1"})
	ack := autobus.Outcome{Kind: autobus.Ack}
	var ss []autobus.Settlement
	for range 3 {
		ss = append(ss, autobus.Settlement{Lease: a.next(t).Lease, Outcome: ack},
			autobus.Settlement{Lease: b.next(t).Lease, Outcome: ack})
	}
	ss = append(ss, ss[0], ss[1], autobus.Settlement{Lease: "x.1", Outcome: ack},
		autobus.Settlement{Lease: ss[0].Lease, Outcome: autobus.Outcome{Kind: autobus.Release}})
	if err := fs[1].Settle(fs[1].ctx, ss); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if ss[i].Err != nil {
			t.Errorf("%d: %v", i, ss[i].Err)
		}
	}
	for i, want := range []autobus.Reason{autobus.ReasonLeaseStale, autobus.ReasonLeaseStale, autobus.ReasonLeaseUnknown,
		autobus.ReasonOutcomeInvalid} {
		if got := ss[6+i].Err; got == nil || got.Reason != want {
			t.Errorf("%d: %v, want %s", 6+i, got, want)
		}
	}
	if fl.asked["a"] != 1 || fl.asked["b"] != 0 {
		t.Errorf("asked %v", fl.asked)
	}
}

// poll takes what there is, once.
func (f *fixture) poll(t *testing.T, name string, most int, wait time.Duration) (got []autobus.Delivery) {
	t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, wait)
	defer cancel()
	err := f.Subscribe(ctx, autobus.Subscription{Name: name, Detached: true, Window: &autobus.Window{Events: most}},
		func(_ context.Context, ds []autobus.Delivery) {
			got = append(got, ds...)
			cancel()
		})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Every poll lands on another instance, every ack too. Never is there more than was asked for.
func TestPollsAndAcksLandAnywhere(t *testing.T) {
	const events = 200
	_, fs := newFleet(t, "a", "b", "c")
	fs[0].put(t, "shop", earliest)
	fs[0].orders(t, events, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
	done, last := map[string]int{}, map[string]int64{}
	begin := time.Now()
	for n := 0; len(done) < events; n++ {
		for _, d := range fs[n%3].poll(t, "shop", 2, patience) {
			at := place(d)
			if done[at]++; done[at] > 1 || d.Attempt != 1 {
				t.Fatalf("%s came %d times, attempt %d", at, done[at], d.Attempt)
			}
			if d.Offset < last[string(d.Key)] {
				t.Fatalf("key %s: %d after %d", d.Key, d.Offset, last[string(d.Key)])
			}
			last[string(d.Key)] = d.Offset
			if err := fs[(n+1)%3].settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d events in %s", events, time.Since(begin))
}
