// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
)

// cable is the network of an instance. Once cut, nothing of it reaches the broker any more: to the rest of the world it
// is killed, whatever it still does for itself.
type cable struct {
	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func (c *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, errors.New("the cable is cut")
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// tale is what the workers of all instances saw.
type tale struct {
	mu       sync.Mutex
	asked    map[string]bool  // partition/offset of what was asked to be settled: the next of its key may come at once
	settled  map[string]bool  // partition/offset of what was settled for good, by a settlement that counted
	keys     map[string]int64 // key -> offset of its latest first delivery
	seen     map[string]bool
	again    int
	faults   []string
	attempts map[string]int
}

func place(d autobus.Delivery) string { return fmt.Sprint(d.Partition, "/", d.Offset) }

func (t *tale) deliver(d autobus.Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, key := place(d), string(d.Key)
	if t.settled[at] {
		t.again++ // its settlement was not committed before the kill
	}
	if d.Attempt < t.attempts[at] {
		t.faults = append(t.faults, fmt.Sprintf("%s: attempt %d after %d", at, d.Attempt, t.attempts[at]))
	}
	t.attempts[at] = d.Attempt
	if t.seen[at] {
		return
	}
	t.seen[at] = true
	if last, ok := t.keys[key]; ok {
		if d.Offset < last {
			t.faults = append(t.faults, fmt.Sprintf("%s of key %s came after %d", at, key, last))
		}
		if before := fmt.Sprint(d.Partition, "/", last); !t.asked[before] {
			t.faults = append(t.faults, fmt.Sprintf("%s came while %s of the same key was open", at, before))
		}
	}
	t.keys[key] = d.Offset
}

func (t *tale) ask(d autobus.Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked[place(d)] = true
}

func (t *tale) settle(d autobus.Delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settled[place(d)] = true
}

// TestKilledInstancesSkipNothing kills instances at random moments, with workers that ack in random order, ask for
// retries, stop without a word and die. Whatever happens, no event is skipped and no key overtakes itself.
func TestKilledInstancesSkipNothing(t *testing.T) { killInstances(t, 200, 0) }

// TestKilledInstancesKeepWhatIsParked is the same with retries that are parked, however short they are.
func TestKilledInstancesKeepWhatIsParked(t *testing.T) { killInstances(t, 20, 20*time.Millisecond) }

// killInstances makes workers ask for retries after up to wait, which are parked; 0 = by the policy, in memory.
func killInstances(t *testing.T, kills int, wait time.Duration) {
	const (
		events = 4000
		keys   = 37
	)
	f := open(t)
	var names []string
	for k := range keys {
		names = append(names, fmt.Sprint("k", k))
	}
	f.orders(t, events, names...)
	p := earliest
	p.Retry = autobus.RetryPolicy{Backoff: []autobus.Duration{autobus.Duration(time.Millisecond)},
		MaxAttempts: autobus.MaxAttempts}
	p.OnExhausted = autobus.Drop
	f.put(t, "shop", p)
	c, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	told := &tale{asked: map[string]bool{}, settled: map[string]bool{}, keys: map[string]int64{}, seen: map[string]bool{},
		attempts: map[string]int{}}
	working := 0
	for n := range kills {
		if n > 0 {
			f.orders(t, events/kills, names...)
		}
		life := &cable{}
		b, stop := f.instance(t, fmt.Sprint("i", n), life.dial)
		if wait > 0 {
			b.SetMemory(0)
		}
		ctx, cancel := context.WithCancel(f.ctx)
		began := make(chan struct{})
		var first sync.Once
		var workers sync.WaitGroup
		for range 3 {
			workers.Go(func() { b.work(ctx, told, wait, func() { first.Do(func() { close(began) }) }) })
		}
		select {
		case <-began:
			working++
		case <-time.After(patience):
			t.Fatal("no event came")
		}
		<-time.After(rand.N(60 * time.Millisecond)) // a kill knows no good moment
		life.cut()
		cancel()
		workers.Wait()
		stop(false)
		evict(t, c, "shop")
	}
	if wait > 0 && len(f.records(t, "park.shop")) < kills {
		t.Error("hardly anything was parked: the kills prove nothing")
	}
	// The last one does the rest.
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	ends, err := f.log.Ends(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, end := range ends {
		all += int(end)
	}
	for len(told.settled) < all {
		d := w.next(t)
		told.deliver(d)
		told.ask(d)
		w.ack(t, d)
		told.settle(d)
	}
	for i, fault := range told.faults {
		if i < 20 {
			t.Error(fault)
		}
	}
	t.Logf("%d events, %d kills, %d deliveries of settled events", all, working, told.again)
	if told.again == 0 {
		t.Error("no kill hit between a settlement and its commit: the kills prove nothing")
	}
}

// work is one worker after another until ctx ends.
func (f *fixture) work(ctx context.Context, told *tale, wait time.Duration, began func()) {
	for ctx.Err() == nil {
		life, end := context.WithCancelCause(ctx)
		var mu sync.Mutex
		var hand []autobus.Delivery
		_ = f.Subscribe(life, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 8}},
			func(_ context.Context, ds []autobus.Delivery) {
				mu.Lock()
				defer mu.Unlock()
				began()
				for _, d := range ds {
					told.deliver(d)
					hand = append(hand, d)
				}
				rand.Shuffle(len(hand), func(i, j int) { hand[i], hand[j] = hand[j], hand[i] })
				n := rand.IntN(len(hand) + 1)
				for _, d := range hand[:n] {
					s := []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}}
					if rand.IntN(20) == 0 && d.Attempt < 5 {
						s[0].Outcome.Kind = autobus.Retry
						if wait > 0 {
							s[0].Outcome.Delay = 1 + rand.N(wait)
						}
					} else {
						told.ask(d)
					}
					if err := f.Settle(f.ctx, s); err == nil && s[0].Err == nil && s[0].Outcome.Kind == autobus.Ack {
						told.settle(d)
					}
				}
				hand = hand[n:]
				switch rand.IntN(200) {
				case 0:
					end(nil)
				case 1:
					end(autobus.ErrReaderDied)
				}
			})
		end(nil)
	}
}

// evict removes the dead member of a group, which the broker would do by itself after the session timeout.
func evict(t *testing.T, c *kgo.Client, group string) {
	t.Helper()
	described, err := kadm.NewClient(c).DescribeGroups(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range described[group].Members {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group = group
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = m.MemberID
		req.MemberID, req.Members = m.MemberID, append(req.Members, member)
		if _, err := req.RequestWith(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}
