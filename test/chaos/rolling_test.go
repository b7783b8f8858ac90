// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/internal/bustest"
)

// fleet is three gateways behind a balancer, before a type of two partitions: there is always one that has none. What
// publishes and what works knows the balancer's address alone.
type fleet struct {
	*stand
	balancer *balancer
	front    *gateway // the balancer
	all      []*gateway
	source   *source
	crew     *crew
	stop     context.CancelFunc // of what is published
	sending  sync.WaitGroup

	mu        sync.Mutex
	forwarded float64 // settlements, by gateways that are gone
}

const fleetSize = 3

func newFleet(t *testing.T) *fleet {
	t.Helper()
	k, bin := bustest.Cluster(t), build(t)
	typ, specs := workSpec(t, fleetSize-1)
	s := &stand{typ: typ, bin: bin, specs: specs, cluster: k, broker: k}
	s.config, s.token = prepare(t, bin, k)
	secret := filepath.Join(t.TempDir(), "peers")
	if err := os.WriteFile(secret, []byte("what only these instances know\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.config)
	if err == nil {
		err = os.WriteFile(s.config, append(text, "peer_secret_file: "+secret+"\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{stand: s, balancer: newBalancer(t)}
	for i := range fleetSize {
		f.all = append(f.all, s.startAs(t, fmt.Sprint("fleet-", i)))
	}
	f.balancer.use(f.all...)
	f.front = &gateway{number: -1, url: f.balancer.url(), token: s.token}
	f.source = newSource(s, 600)
	f.crew = newCrew(t, f.source.load, f.front, autobus.Policy{})
	f.crew.client.Transport = &http.Transport{DisableKeepAlives: true} // each request to another one
	f.crew.hire(0, 3)
	for range 6 {
		f.crew.working.Go(f.work)
	}
	var ctx context.Context
	ctx, f.stop = context.WithCancel(t.Context())
	t.Cleanup(func() { f.stop(); f.sending.Wait() })
	for _, st := range f.source.streams {
		f.sending.Go(func() {
			for ctx.Err() == nil { // through the next gateway, when one goes
				transport := &http.Transport{DisableKeepAlives: true}
				st.connect(ctx, t, &http.Client{Transport: transport}, f.front.url, f.token)
			}
		})
	}
	return f
}

// work is a worker with the Go client.
func (f *fleet) work() {
	c := f.crew
	bus, err := client.New(client.Config{URL: f.front.url, Token: f.token})
	if err != nil {
		c.t.Error(err)
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
		defer cancel()
		_ = bus.Close(ctx) // nothing was published by it
	}()
	session := c.group.Open(false)
	got := make(chan autobus.Delivery, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	var settling sync.WaitGroup
	settling.Go(func() {
		for d := range got {
			f.ack(bus, d)
		}
	})
	leave := context.AfterFunc(c.ctx, func() {
		session.Leave()
		cancel()
	})
	defer leave()
	err = bus.Subscribe(ctx, autobus.Subscription{Name: c.name, Window: &autobus.Window{Events: 20},
		Revoke: session.Revoked}, func(_ context.Context, ds []autobus.Delivery) {
		c.saw(f.front, session, ds)
		for _, d := range ds {
			got <- d
		}
	})
	session.Ended()
	cancel()
	close(got)
	settling.Wait()
	if err != nil {
		c.t.Errorf("subscribe: %v", err)
	}
}

func (f *fleet) ack(bus autobus.Bus, d autobus.Delivery) {
	ss := []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}}
	answered := f.crew.history.Settle(ss)
	ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
	defer cancel()
	err := bus.Settle(ctx, ss)
	if e := ss[0].Err; err == nil && e != nil && e.Retriable() {
		err = e // it may have counted
	}
	answered(err)
	if err == nil && ss[0].Err == nil {
		f.crew.mu.Lock()
		f.crew.acks = append(f.crew.acks, time.Now())
		f.crew.mu.Unlock()
	}
}

// settles waits until many events were settled, and some of them away from their owner.
func (f *fleet) settles(t *testing.T) {
	t.Helper()
	f.crew.await(t, f.front, 600)
	bustest.Eventually(t, "settlements that are forwarded", func(context.Context) bool {
		n := 0.
		for _, g := range f.all {
			n += g.forwards(t)
		}
		return n > 0
	})
}

var forwards = regexp.MustCompile(`(?m)^autobus_forwarded_settlements_total\{outcome="judged"\} (\S+)$`)

func (g *gateway) forwards(t *testing.T) float64 {
	t.Helper()
	resp, err := http.Get(g.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := forwards.FindSubmatch(text)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// replace starts a gateway anew under its old name, at another address, once end has ended it.
func (f *fleet) replace(t *testing.T, i int, end func(*gateway)) {
	t.Helper()
	f.mu.Lock()
	f.forwarded += f.all[i].forwards(t)
	f.mu.Unlock()
	end(f.all[i])
	f.all[i] = f.startAs(t, fmt.Sprint("fleet-", i))
	f.balancer.use(f.all...)
}

// over ends the load, waits for the end of the work, and lets the history judge.
func (f *fleet) over(t *testing.T) bustest.Report {
	t.Helper()
	f.stop()
	f.sending.Wait()
	f.crew.awaitEnd(t, f.front)
	for _, g := range f.all {
		f.forwarded += g.forwards(t)
	}
	t.Logf("figures: %d events settled, %.0f of them at another gateway than their owner", len(f.crew.acks), f.forwarded)
	return f.crew.judge(t, f.source, f.stand)
}

// TestRollingRestart restarts one gateway after the other, two times, under load, behind a balancer that sends each
// connection to any of them. Nothing that was acked is lost or comes again, nothing is skipped, no key overtakes
// itself.
func TestRollingRestart(t *testing.T) {
	f := newFleet(t)
	for range 2 {
		for i := range f.all {
			f.settles(t)
			f.replace(t, i, func(g *gateway) {
				g.term(t)
				g.end(t)
			})
		}
	}
	f.settles(t)
	f.over(t)
}

// TestKillOwner kills gateways that have partitions, while another one relays to them.
func TestKillOwner(t *testing.T) {
	f := newFleet(t)
	for range 3 {
		f.settles(t)
		owner := -1
		bustest.Eventually(t, "an owner, and one without partitions", func(context.Context) bool {
			free := 0
			for i, g := range f.all {
				if f.crew.holds(g) > 0 {
					owner = i
				} else {
					free++
				}
			}
			return owner >= 0 && free > 0
		})
		at := time.Now()
		f.replace(t, owner, func(g *gateway) { g.mustKill(t) })
		f.settles(t)
		f.crew.mu.Lock()
		for _, ack := range f.crew.acks { // what may be forgotten, by the commit every second
			if ack.After(at.Add(-time.Second-f.commitTime())) && ack.Before(at.Add(f.commitTime())) {
				f.crew.group.Repeats++
			}
		}
		f.crew.mu.Unlock()
	}
	f.over(t)
}
