// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestLongPoll runs what is about subscriptions: events are published as TestNDJSON does it.
func TestLongPoll(t *testing.T) {
	transport(t, func(s *site, token string) autobus.Bus {
		return &httpBus{site: s, token: token, consume: poll}
	}, bustest.ExerciseGroups, bustest.Features{
		NoCreate:     "a subscription is made by a PUT of its own, which changes the one that is there",
		NoSessions:   "each request is a reader of its own, and its leases outlive it",
		NoByteWindow: "max_bytes bounds one answer, of which one event may be larger",
	})
}

// poller is a worker that polls. What it may have in hand it counts itself: the bus sees one request at a time.
type poller struct {
	bus     *httpBus
	s       *autobus.Subscription
	changed chan struct{} // holds a token when there may be room

	mu     sync.Mutex
	window autobus.Window
	held   int
}

func poll(ctx context.Context, b *httpBus, s *autobus.Subscription, h autobus.Handler) error {
	p := &poller{bus: b, s: s, changed: make(chan struct{}, 1), window: autobus.Window{Events: autobus.DefaultEvents}}
	if s.Create != nil && s.Create.Window != nil {
		p.window = *s.Create.Window
	}
	if s.Window != nil {
		p.window = *s.Window
	}
	return unlessOver(ctx, p.run(ctx, h))
}

// run polls as long as there is room. The first answers, for which it does not wait, tell that it may read at all.
func (p *poller) run(ctx context.Context, h autobus.Handler) error {
	wait := "0s"
	var early []autobus.Delivery // before it is open
	for {
		room := p.room()
		for room == 0 && wait != "0s" {
			select {
			case <-ctx.Done():
				return nil
			case w := <-p.s.Resize:
				p.resize(w)
			case <-p.changed:
			}
			room = p.room()
		}
		ds, err := p.ask(ctx, room, wait)
		if err != nil {
			return err
		}
		p.bus.lend(p.s.Name, ds, p.release)
		if wait == "0s" {
			early = append(early, ds...)
			if p.room() > 0 && p.bus.site.settled != nil && !p.bus.site.settled(ctx, p.s.Name) {
				continue
			}
			if p.s.Opened != nil {
				p.s.Opened("")
			}
			ds = early
		}
		wait = "20s"
		if len(ds) > 0 {
			h(ctx, ds)
		}
	}
}

func (p *poller) ask(ctx context.Context, room int, wait string) ([]autobus.Delivery, error) {
	q := url.Values{"max": {strconv.Itoa(room)}, "wait": {wait}}
	var answer struct {
		Deliveries []delivery `json:"deliveries"`
	}
	if err := p.bus.call(ctx, http.MethodGet, subscriptionPath(p.s.Name)+"/events?"+q.Encode(), "", nil,
		&answer); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.held += len(answer.Deliveries)
	p.mu.Unlock()
	return readDeliveries(answer.Deliveries)
}

func (p *poller) room() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.window.Events - p.held
}

func (p *poller) resize(w autobus.Window) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.window = w
}

// release counts a delivery as settled.
func (p *poller) release() {
	p.mu.Lock()
	p.held--
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}
