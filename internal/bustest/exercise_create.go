// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// create checks how subscriptions come to be, and what is refused.
func (s *suite) create(t *testing.T) {
	t.Run("Same", func(t *testing.T) { // whoever brings the same policy joins
		sub := s.subscription(s.policy(s.types.Work))
		s.work(t, sub)
		same := *sub.Create
		same.Order, same.AckWait, same.Window = autobus.OrderKey, autobus.DefaultAckWait,
			&autobus.Window{Events: autobus.DefaultEvents} // what the defaults are
		s.work(t, autobus.Subscription{Name: sub.Name, Create: &same})
		s.work(t, autobus.Subscription{Name: sub.Name})
	})

	t.Run("Another", func(t *testing.T) { // a worker does not change what others work by
		if lacks(t, s.features.NoCreate) {
			return
		}
		sub := s.subscription(s.policy(s.types.Work))
		w := s.work(t, sub)
		var all []asking
		for name, change := range map[string]func(*autobus.Policy){
			"types":  func(p *autobus.Policy) { p.Types = []string{s.types.Keyed} },
			"filter": func(p *autobus.Policy) { p.Filter = "true" },
			"start":  func(p *autobus.Policy) { p.Start.Earliest = true },
			"order":  func(p *autobus.Policy) { p.Order = autobus.OrderNone },
			"wait":   func(p *autobus.Policy) { p.AckWait = autobus.Duration(2 * time.Second) },
		} {
			other := *sub.Create
			change(&other)
			all = append(all, refusal("another "+name, autobus.Subscription{Name: sub.Name, Create: &other},
				autobus.ReasonSubscriptionExists))
		}
		s.answers(t, all...)
		s.orders(t, s.types.Work, s.unique("key"))
		w.ack(t, w.next(t)) // the first one works on
	})

	t.Run("Unknown", func(t *testing.T) {
		sub := s.subscription(s.policy(s.types.Work))
		s.work(t, sub)
		near := sub.Name[:len(sub.Name)-1] + "x"
		bus, ctx := s.bus(t.Context(), t, everything)
		err := bus.Subscribe(ctx, autobus.Subscription{Name: near}, func(context.Context, []autobus.Delivery) {})
		failed(t, "a name that does not exist", err, autobus.ReasonSubscriptionUnknown)
		if e := autobus.AsError(err); e != nil && !strings.Contains(e.NextStep(), sub.Name) {
			t.Errorf("the hint does not name %s, which is near: %q", sub.Name, e.NextStep())
		}
	})

	t.Run("Name", func(t *testing.T) {
		p := s.policy(s.types.Work)
		var all []asking
		for _, name := range []string{"A", "1st", "a b", "ä", "a/b", "dlq.x", "retry", strings.Repeat("n", 122)} {
			all = append(all, refusal(name, autobus.Subscription{Name: name, Create: &p},
				autobus.ReasonSubscriptionInvalid))
		}
		// Of two that differ only in dots and underscores, Kafka cannot tell the topics apart.
		sub := s.subscription(p)
		sub.Name += ".a"
		s.work(t, sub)
		twin := strings.TrimSuffix(sub.Name, ".a") + "_a"
		s.answers(t, append(all, refusal(twin, autobus.Subscription{Name: twin, Create: &p},
			autobus.ReasonSubscriptionInvalid))...)
	})

	t.Run("Policy", func(t *testing.T) {
		var all []asking
		for name, c := range map[string]struct {
			change func(*autobus.Policy)
			why    autobus.Reason
		}{
			"no types":     {func(p *autobus.Policy) { p.Types = nil }, autobus.ReasonSubscriptionInvalid},
			"no type":      {func(p *autobus.Policy) { p.Types = []string{"Not A Type"} }, autobus.ReasonSubscriptionInvalid},
			"unknown type": {func(p *autobus.Policy) { p.Types = []string{s.unknown()} }, autobus.ReasonTypeUnknown},
			"dead letters": {func(p *autobus.Policy) { p.Types = []string{"dlq.x.y.v1"} }, autobus.ReasonSubscriptionInvalid},
			"no CEL":       {func(p *autobus.Policy) { p.Filter = "data.n +" }, autobus.ReasonFilterInvalid},
			"no condition": {func(p *autobus.Policy) { p.Filter = "id + 'x'" }, autobus.ReasonFilterInvalid},
			"window 0":     {func(p *autobus.Policy) { p.Window = &autobus.Window{} }, autobus.ReasonSubscriptionInvalid},
			"order":        {func(p *autobus.Policy) { p.Order = "random" }, autobus.ReasonSubscriptionInvalid},
			"wait":         {func(p *autobus.Policy) { p.AckWait = 1 }, autobus.ReasonSubscriptionInvalid},
			"attempts":     {func(p *autobus.Policy) { p.Retry.MaxAttempts = 15 }, autobus.ReasonSubscriptionInvalid},
			"exhausted":    {func(p *autobus.Policy) { p.OnExhausted = "burn" }, autobus.ReasonSubscriptionInvalid},
		} {
			p := s.policy(s.types.Work)
			c.change(&p)
			if c.why != autobus.ReasonFilterInvalid || !lacks(t, s.features.NoCEL) {
				all = append(all, refusal(name, s.subscription(p), c.why))
			}
		}
		s.answers(t, all...)
	})

	t.Run("Both", func(t *testing.T) { // a name and types to tail
		s.answers(t, refusal("both", autobus.Subscription{Name: s.name(), Tail: []string{s.types.Work}},
			autobus.ReasonRequestInvalid))
	})

	t.Run("OwnFilter", func(t *testing.T) { // the subscription's is in its policy
		sub := s.subscription(s.policy(s.types.Work))
		sub.Filter = "true"
		s.answers(t, refusal("own filter", sub, autobus.ReasonRequestInvalid))
	})

	t.Run("AtOnce", func(t *testing.T) { // of several who bring different policies, one makes it
		if lacks(t, s.features.NoCreate) {
			return
		}
		name := s.name()
		const n = 4
		var opened, refused atomic.Int32
		var asked sync.WaitGroup
		for i := range n {
			p := s.policy(s.types.Work)
			p.AckWait = autobus.Duration(time.Duration(i+1) * time.Second)
			asked.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), Patience)
				defer cancel()
				bus, ctx := s.bus(ctx, t, everything)
				err := bus.Subscribe(ctx, autobus.Subscription{Name: name, Create: &p, Opened: func(autobus.Address) {
					opened.Add(1)
					cancel()
				}}, func(context.Context, []autobus.Delivery) {})
				if errors.Is(err, &autobus.Error{Reason: autobus.ReasonSubscriptionExists}) {
					refused.Add(1)
				} else if err != nil {
					t.Errorf("subscribe: %v", err)
				}
			})
		}
		asked.Wait()
		if opened.Load() != 1 || refused.Load() != n-1 {
			t.Errorf("%d of %d workers with different policies were taken, %d refused", opened.Load(), n, refused.Load())
		}
	})
}

// groupGrant checks that a subscription needs grants for its name and for all it may deliver.
func (s *suite) groupGrant(t *testing.T) {
	sub := s.subscription(s.policy(s.types.Work))
	s.work(t, sub)
	fresh := func(types ...string) autobus.Subscription { return s.subscription(s.policy(types...)) }
	domain, _, _ := strings.Cut(s.types.Work, ".")
	grant := func(v autobus.Verb, patterns ...string) (gs []autobus.Grant) {
		for _, p := range patterns {
			gs = append(gs, autobus.Grant{Verb: v, Pattern: p})
		}
		return gs
	}
	made, pattern, both := fresh(s.types.Work), fresh(domain+".*"), fresh(s.types.Work, s.types.Keyed)
	may := func(name string, sub autobus.Subscription, why autobus.Reason, grants ...[]autobus.Grant) asking {
		return asking{name, autobus.Principal{Name: "worker", Grants: slices.Concat(grants...)}, sub, why}
	}
	there, subscribe, manage := autobus.Subscription{Name: sub.Name}, autobus.VerbSubscribe, autobus.VerbManage
	s.answers(t,
		may("name and type", there, "", grant(subscribe, sub.Name, s.types.Work)),
		may("not the name", there, autobus.ReasonForbidden, grant(subscribe, s.types.Work)),
		may("not the type", there, autobus.ReasonForbidden, grant(subscribe, sub.Name)),
		may("to manage alone", there, autobus.ReasonForbidden, grant(manage, "*")),
		may("a name that does not exist", autobus.Subscription{Name: s.name()}, autobus.ReasonForbidden,
			grant(subscribe, s.types.Work)),
		may("not to make one", made, autobus.ReasonForbidden, grant(subscribe, made.Name, s.types.Work)),
		may("a part of the pattern", pattern, autobus.ReasonForbidden, grant(subscribe, pattern.Name, s.types.Work),
			grant(manage, "*")),
		may("one of the types", both, autobus.ReasonForbidden, grant(subscribe, both.Name, s.types.Work),
			grant(manage, "*")),
	)
	s.answers(t,
		may("to make one", made, "", grant(subscribe, made.Name, s.types.Work), grant(manage, made.Name)),
		may("all of the types", both, "", grant(subscribe, both.Name, domain+".*"), grant(manage, "*")),
	)

	t.Run("Nobody", func(t *testing.T) {
		if s.target.As != nil {
			t.Log("a remote bus without credentials is the edge's business")
			return
		}
		failed(t, "settle without a principal", s.target.Bus.Settle(t.Context(), []autobus.Settlement{{}}),
			autobus.ReasonUnauthenticated)
		failed(t, "subscribe without a principal", s.target.Bus.Subscribe(t.Context(), autobus.Subscription{Name: sub.Name},
			nil), autobus.ReasonUnauthenticated)
	})
}
