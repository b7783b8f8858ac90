// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"context"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// idleFor is how long a principal's inbox stays open after his last request: longer than the bus remembers ids, so that
// a request that comes again under its id finds the replies to the first.
const idleFor = 20 * time.Minute

// Callers is for those who ask for others, such as the protocols of a gateway: it keeps one Caller for each principal,
// since a reply address belongs to one. Run closes those that nobody uses.
type Callers struct {
	bus  autobus.Bus
	base context.Context //nolint:containedctx // of the inboxes, which outlive the requests that open them
	end  context.CancelFunc

	mu  sync.Mutex
	all map[string]*opening // by the principal's name
}

// opening is a Caller, or the attempt to open one.
type opening struct {
	done   chan struct{}
	caller *Caller
	err    error
}

// NewCallers opens nothing yet.
func NewCallers(bus autobus.Bus) *Callers {
	cs := &Callers{bus: bus, all: map[string]*opening{}}
	cs.base, cs.end = context.WithCancel(context.Background())
	return cs
}

// Run closes inboxes that nobody used for 20 minutes, and all of them when ctx ends.
func (cs *Callers) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			cs.end()
			for _, o := range cs.take(func(*Caller) bool { return true }) {
				if <-o.done; o.caller != nil {
					o.caller.Close()
				}
			}
			return nil
		case <-tick.C:
			idle := cs.take(func(c *Caller) bool { since := c.idle(); return !since.IsZero() && time.Since(since) > idleFor })
			for _, o := range idle {
				o.caller.Close()
			}
		}
	}
}

// take removes those for which a condition holds; of one that is being opened it does when every one's does.
func (cs *Callers) take(when func(*Caller) bool) (out []*opening) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for name, o := range cs.all {
		select {
		case <-o.done:
			if o.caller == nil || !when(o.caller) {
				continue
			}
		default:
			if cs.base.Err() == nil {
				continue
			}
		}
		out = append(out, o)
		delete(cs.all, name)
	}
	return out
}

// Of gives the Caller of the principal in ctx, opened if need be.
func (cs *Callers) Of(ctx context.Context) (*Caller, error) {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return nil, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to request")
	}
	o := cs.opening(who)
	select {
	case <-o.done:
		return o.caller, o.err
	case <-ctx.Done():
		return nil, autobus.NewError(autobus.ReasonStarting, "the reply address was not made in time").
			WithCause(context.Cause(ctx))
	}
}

func (cs *Callers) opening(who autobus.Principal) *opening {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if o := cs.all[who.Name]; o != nil && o.good() {
		return o
	}
	o := &opening{done: make(chan struct{})}
	cs.all[who.Name] = o
	go func() {
		defer close(o.done)
		o.caller, o.err = Open(autobus.WithPrincipal(cs.base, who), cs.bus)
	}()
	return o
}

// good tells that a Caller is there, or may be soon.
func (o *opening) good() bool {
	select {
	case <-o.done:
	default:
		return true
	}
	if o.err != nil {
		return false
	}
	select {
	case <-o.caller.over:
		return false
	default:
		return true
	}
}
