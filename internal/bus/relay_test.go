// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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

	released atomic.Int64 // deliveries that were given back
	gate     func()       // called before what an instance gives is handed on; nil = nothing
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
	return f.Subscribe(ctx, s, func(ctx context.Context, ds []autobus.Delivery) {
		if n.fleet.gate != nil {
			n.fleet.gate()
		}
		h(ctx, ds)
	})
}

func (n *neighbour) Settle(ctx context.Context, ss []autobus.Settlement) error {
	f, ctx, err := n.at(ctx)
	if err != nil {
		return err
	}
	n.fleet.mu.Lock()
	n.fleet.asked[n.to]++
	n.fleet.mu.Unlock()
	for _, s := range ss {
		if s.Outcome.Kind == autobus.Release {
			n.fleet.released.Add(1)
		}
	}
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

// When a worker's own instance gets partitions, it settles what it has of the other one and works at home. Its window
// holds all the time, and nothing comes twice.
func TestAWorkerComesHome(t *testing.T) {
	for range 10 { // the partitions may come before the first event of the other instance does, which proves nothing
		if comesHome(t) {
			return
		}
	}
	t.Error("nothing ever came from the other instance")
}

// comesHome reports whether something came from the other instance first.
func comesHome(t *testing.T) bool {
	t.Helper()
	_, fs := newFleet(t, "a", "b")
	fs[0].put(t, "shop", earliest)
	a := fs[0].worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	keys := []string{"k", "l", "m", "n", "o", "p", "q", "r", "s", "t"}
	fs[0].orders(t, 20, keys...)
	held := a.next(t) // all others are for b, until this one is settled
	b := fs[1].worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 2}})
	seen, home := map[string]bool{}, 0
	limit := time.Now().Add(patience)
	for n := 0; home < 10; n++ {
		if n == 5 {
			a.ack(t, held)
			a.leave(t, nil)
		}
		d := b.next(t)
		if len(b.got) > 1 {
			t.Fatalf("%d events are in hand", len(b.got)+1)
		}
		if seen[place(d)] || d.Attempt != 1 {
			t.Fatalf("%s came again", place(d))
		}
		seen[place(d)] = true
		if bus.LeaseInstance(d.Lease) == "b" {
			home++
		}
		b.ack(t, d)
		fs[0].orders(t, 1, keys[n%len(keys)])
		if time.Now().After(limit) {
			t.Fatal("the worker does not come home")
		}
	}
	return len(seen) > home
}

// An owner that goes down sends the workers of others elsewhere; what they hold may be settled until it is gone.
func TestAnOwnerThatDrainsLetsOthersSettle(t *testing.T) {
	_, fs := newFleet(t, "a", "b")
	fs[0].put(t, "shop", single(t, fs[0]))
	a := fs[0].worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	fs[0].things(t, "x")
	a.ack(t, a.next(t))
	b := fs[1].worker(t, autobus.Subscription{Name: "shop"})
	a.leave(t, nil)
	gave, seen := map[string]int{}, map[string]bool{}
	drained := make(chan struct{})
	for n := 0; gave["b"] < 3; n++ {
		fs[1].things(t, "k")
		d := b.next(t)
		if seen[place(d)] || d.Attempt != 1 {
			t.Fatalf("%s came again", place(d))
		}
		seen[place(d)] = true
		gave[bus.LeaseInstance(d.Lease)]++
		if n == 3 { // with an event in hand
			go func() {
				defer close(drained)
				fs[0].DrainDeliveries(context.Background())
			}()
		}
		b.ack(t, d)
	}
	<-drained
	if gave["a"] < 4 {
		t.Errorf("instances gave %v", gave)
	}
}

// One hop, never twice: who has nothing says so to the instance that asks.
func TestNothingIsRelayedTwice(t *testing.T) {
	fl, fs := newFleet(t, "a", "b", "c")
	fs[0].put(t, "shop", single(t, fs[0]))
	a := fs[0].worker(t, autobus.Subscription{Name: "shop"})
	fs[0].things(t, "k")
	d := a.next(t)
	far := &neighbour{fl, "b", "c"}
	err := far.Subscribe(fs[2].ctx, autobus.Subscription{Name: "shop"}, func(context.Context, []autobus.Delivery) {})
	if reasonOf(err) != autobus.ReasonNotOwner {
		t.Errorf("a session at one without partitions: %v", err)
	}
	ss := []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}}
	if err := far.Settle(fs[2].ctx, ss); err != nil || ss[0].Err == nil || ss[0].Err.Reason != autobus.ReasonNotOwner {
		t.Errorf("a lease of a third one: %v %v", err, ss[0].Err)
	}
}
