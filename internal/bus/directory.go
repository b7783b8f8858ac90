// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// peer is another instance on this cluster.
type peer struct{ instance, address string }

// peerOf reads the client id of a member of a group. False: it is no instance.
func peerOf(clientID string) (p peer, ok bool) {
	p.instance, p.address, ok = kafka.ParseInstanceID(clientID)
	return p, ok
}

// lookAgain is the least time between two looks for instances that are not known.
const lookAgain = 250 * time.Millisecond

// directory knows where instances are, of which a lease tells just the name. Kafka tells the rest: who gave a lease is
// a member of a subscription's group.
type directory struct {
	bus  *Bus
	look *refresher

	mu    sync.Mutex
	known map[string]string // instance -> address
	now   []string          // addresses of those that the last look found
	twins map[string]twin   // by address
}

// twin is another instance that goes by the name of this one, so that acks of the one's leases come to the other.
type twin struct{ seen, told time.Time }

// How long a twin has to be seen before it is told, as long as Kafka may take to miss an instance that had this name
// before, and how often it is told then.
const (
	twinAfter = 15 * time.Second
	twinEvery = 10 * time.Minute
)

func newDirectory(b *Bus) *directory {
	d := &directory{bus: b, known: map[string]string{}, twins: map[string]twin{}}
	d.look = &refresher{barrier: d.refresh, every: lookAgain}
	return d
}

// find gives an instance. False: no subscription has a member of that name.
func (d *directory) find(ctx context.Context, instance string) (p peer, ok bool, err error) {
	if p, ok = d.get(instance); ok {
		return p, true, nil
	}
	if err := d.look.after(ctx); err != nil {
		return p, false, err
	}
	p, ok = d.get(instance)
	return p, ok, nil
}

func (d *directory) get(instance string) (peer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	address, ok := d.known[instance]
	return peer{instance, address}, ok
}

// learn takes over what Kafka says of members, and gives those that are other instances.
func (d *directory) learn(members []kafka.GroupMember) map[peer][]kafka.TP {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[peer][]kafka.TP{}
	for _, m := range members {
		p, ok := peerOf(m.ClientID)
		switch {
		case !ok:
		case p.instance != d.bus.cfg.Instance:
			d.known[p.instance] = p.address
			out[p] = append(out[p], m.Holds...)
		case p.address != d.bus.cfg.Address:
			d.sees(p.address)
		}
	}
	return out
}

// sees is told of a twin. It is called with the lock.
func (d *directory) sees(address string) {
	t, now := d.twins[address], time.Now()
	if t.seen.IsZero() {
		t.seen = now
	}
	if now.Sub(t.seen) >= twinAfter && now.Sub(t.told) >= twinEvery {
		t.told = now
		d.bus.cfg.Logger.Error("another instance has the name of this one: acks go to the wrong one, and events come "+
			"again; give each its own instance", "address", address)
	}
	d.twins[address] = t
}

// forget drops an instance that does not answer: it may be somewhere else by now, or gone.
func (d *directory) forget(p peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[p.instance] == p.address {
		delete(d.known, p.instance)
	}
}

func (d *directory) refresh(ctx context.Context) error {
	members, err := d.bus.cfg.Log.Members(ctx, d.bus.groups.names()...)
	if err != nil {
		return err
	}
	found := d.learn(members)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = nil
	for p := range found {
		d.now = append(d.now, p.address)
	}
	slices.Sort(d.now)
	d.now = slices.Compact(d.now)
	return nil
}

// Peers gives the addresses of the other instances that work for any subscription at this moment, as Kafka knows them.
func (b *Bus) Peers(ctx context.Context) ([]string, error) {
	if err := b.peers.look.after(ctx); err != nil {
		return nil, err
	}
	b.peers.mu.Lock()
	defer b.peers.mu.Unlock()
	return slices.Clone(b.peers.now), nil
}

// names lists all subscriptions in force.
func (gs *groups) names() []string {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	out := make([]string, 0, len(gs.records))
	for name := range gs.records {
		out = append(out, name)
	}
	return out
}
