// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"testing"

	"github.com/autobus-io/autobus"
)

// grant checks that nothing reaches or comes from a principal without a grant for it.
func (s *suite) grant(t *testing.T) {
	attempt := func(ctx context.Context, t *testing.T, bus autobus.Bus, e autobus.Event) *autobus.Error {
		b := &autobus.Batch{Events: []autobus.Event{e}}
		if err := bus.Publish(ctx, b); err != nil {
			return autobus.AsError(err)
		}
		r := b.Wait(ctx)[0]
		if r.Status == autobus.Written {
			return nil
		}
		if r.Status != autobus.Refused {
			t.Errorf("got %s, want refused or written", r.Status)
		}
		return r.Err
	}
	subscribe := func(ctx context.Context, bus autobus.Bus, types ...string) *autobus.Error {
		ctx, stop := context.WithTimeout(ctx, Patience)
		defer stop()
		return autobus.AsError(bus.Subscribe(ctx, autobus.Subscription{Tail: types, Opened: func(autobus.Address) {
			stop()
		}}, func(context.Context, []autobus.Delivery) {}))
	}

	t.Run("Nobody", func(t *testing.T) {
		if s.target.As != nil {
			t.Log("a remote bus without credentials is the edge's business")
			return
		}
		e := s.event(s.types.Keyed, "x")
		if err := attempt(t.Context(), t, s.target.Bus, e); err == nil || err.Reason != autobus.ReasonUnauthenticated {
			t.Errorf("publish without a principal: got %v, want %s", err, autobus.ReasonUnauthenticated)
		}
		s.none(t, e)
		if err := subscribe(t.Context(), s.target.Bus, s.types.Keyed); err == nil ||
			err.Reason != autobus.ReasonUnauthenticated {
			t.Errorf("tail without a principal: got %v, want %s", err, autobus.ReasonUnauthenticated)
		}
	})

	writer := autobus.Principal{Name: "writer",
		Grants: []autobus.Grant{{Verb: autobus.VerbPublish, Pattern: s.types.Keyed}}}
	reader := autobus.Principal{Name: "reader",
		Grants: []autobus.Grant{{Verb: autobus.VerbSubscribe, Pattern: s.types.Keyed}}}

	t.Run("Writer", func(t *testing.T) {
		bus, ctx := s.bus(t.Context(), t, writer)
		if err := attempt(ctx, t, bus, s.event(s.types.Keyed, s.unique("key"))); err != nil {
			t.Errorf("publish with a grant: %v", err)
		}
		e := s.event(s.types.Sarama, s.unique("key"))
		if err := attempt(ctx, t, bus, e); err == nil || err.Reason != autobus.ReasonForbidden {
			t.Errorf("publish of another type: got %v, want %s", err, autobus.ReasonForbidden)
		}
		s.none(t, e)
		unknown := s.event(s.types.Keyed, "x")
		unknown.Type = s.unknown()
		if err := attempt(ctx, t, bus, unknown); err == nil || err.Reason != autobus.ReasonForbidden {
			t.Errorf("publish of a type that does not exist: got %v, want %s: it must look like any other", err,
				autobus.ReasonForbidden)
		}
		if err := subscribe(ctx, bus, s.types.Keyed); err == nil || err.Reason != autobus.ReasonForbidden {
			t.Errorf("tail without a grant: got %v, want %s", err, autobus.ReasonForbidden)
		}
	})

	t.Run("Reader", func(t *testing.T) {
		bus, ctx := s.bus(t.Context(), t, reader)
		if err := subscribe(ctx, bus, s.types.Keyed); err != nil {
			t.Errorf("tail with a grant: %v", err)
		}
		e := s.event(s.types.Keyed, s.unique("key"))
		if err := attempt(ctx, t, bus, e); err == nil || err.Reason != autobus.ReasonForbidden {
			t.Errorf("publish without a grant: got %v, want %s", err, autobus.ReasonForbidden)
		}
		s.none(t, e)
		if err := subscribe(ctx, bus, s.types.Sarama); err == nil || err.Reason != autobus.ReasonForbidden {
			t.Errorf("tail of another type: got %v, want %s", err, autobus.ReasonForbidden)
		}
	})
}
