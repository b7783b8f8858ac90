// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/autobus-io/autobus"
)

// notes keeps what hooks are told, in its order.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(parts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, strings.Join(parts, " "))
}

func (n *notes) want(t *testing.T, lines ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.lines, lines) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(n.lines, "\n\t"), strings.Join(lines, "\n\t"))
	}
	n.lines = nil
}

type passed struct{}

// hooks notes under a name, and adds the name to the context.
func (n *notes) hooks(name string) autobus.Hooks {
	chain := func(ctx context.Context) string {
		s, _ := ctx.Value(passed{}).(string)
		return s
	}
	return autobus.Hooks{
		Before: func(ctx context.Context, d *autobus.Delivery) context.Context {
			n.add(name, "before", d.ID)
			return context.WithValue(ctx, passed{}, chain(ctx)+name)
		},
		Error: func(ctx context.Context, _ *autobus.Delivery, err error) {
			n.add(name, "error", err.Error(), chain(ctx))
		},
		Retry: func(ctx context.Context, _ *autobus.Delivery, o autobus.Outcome) { n.add(name, "retry", o.Reason) },
		After: func(ctx context.Context, d *autobus.Delivery, o autobus.Outcome) {
			n.add(name, "after", string(o.Kind), chain(ctx))
		},
		BeforePublish: func(ctx context.Context, e *autobus.Event) context.Context {
			n.add(name, "before publish", e.ID)
			e.SetExt("by"+name, "x")
			return context.WithValue(ctx, passed{}, chain(ctx)+name)
		},
		AfterPublish: func(ctx context.Context, e *autobus.Event, r autobus.Receipt) {
			n.add(name, "after publish", r.Status.String(), chain(ctx))
		},
	}
}

func TestHooksRunInTheirOrder(t *testing.T) {
	var n notes
	w := &autobus.Worker{Workers: 1, Hooks: []autobus.Hooks{n.hooks("a"), {}, n.hooks("b")},
		Handle: func(ctx context.Context, d *autobus.Delivery) error {
			n.add("handler", ctx.Value(passed{}).(string))
			return map[string]error{"e2": errBroken, "e3": autobus.Skipped("x"), "e4": autobus.Rejected(errBroken)}[d.ID]
		}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		f.deliverNow()
		n.want(t, "a before e1", "b before e1", "handler ab", "b after ack ab", "a after ack ab")
		f.deliverNow()
		n.want(t, "a before e2", "b before e2", "handler ab", "b error broken ab", "a error broken ab", "b retry broken",
			"a retry broken", "b after retry ab", "a after retry ab")
		f.deliverNow()
		n.want(t, "a before e3", "b before e3", "handler ab", "b after skip ab", "a after skip ab")
		f.deliverNow()
		n.want(t, "a before e4", "b before e4", "handler ab", "b error broken ab", "a error broken ab",
			"b after reject ab", "a after reject ab")
	})
}

// TestAHookThatFailsLosesNothing: neither the event, nor the other hooks, nor their contexts.
func TestAHookThatFailsLosesNothing(t *testing.T) {
	var n notes
	bad := autobus.Hooks{
		Before: func(context.Context, *autobus.Delivery) context.Context { panic("before") },
		Error:  func(context.Context, *autobus.Delivery, error) { panic("error") },
		Retry:  func(context.Context, *autobus.Delivery, autobus.Outcome) { panic("retry") },
		After:  func(context.Context, *autobus.Delivery, autobus.Outcome) { panic("after") },
	}
	none := autobus.Hooks{Before: func(context.Context, *autobus.Delivery) context.Context { return nil }}
	w := &autobus.Worker{Workers: 1, Hooks: []autobus.Hooks{n.hooks("a"), bad, none, n.hooks("b")},
		Handle: func(context.Context, *autobus.Delivery) error { return errBroken }}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		l := f.deliverNow()[0]
		n.want(t, "a before e1", "b before e1", "b error broken ab", "a error broken ab", "b retry broken",
			"a retry broken", "b after retry ab", "a after retry ab")
		if o := f.outcome(t, l); o.Kind != autobus.Retry || o.Reason != "broken" {
			t.Errorf("%+v", o)
		}
	})
}

func TestAHookThatEndsItsGoroutineLosesNothing(t *testing.T) {
	var where string
	gone := func(at string) {
		if at == where {
			// What t.FailNow does in a hook of a test.
			endGoroutine()
		}
	}
	w := &autobus.Worker{Workers: 1, Hooks: []autobus.Hooks{{
		Before: func(context.Context, *autobus.Delivery) context.Context { gone("before"); return nil },
		After:  func(context.Context, *autobus.Delivery, autobus.Outcome) { gone("after") },
	}}, HandleBatch: func(context.Context, []*autobus.Delivery) error { return nil },
		Limits: autobus.BatchLimits{Events: 2}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		for at, kind := range map[string]autobus.OutcomeKind{"before": autobus.Retry, "after": autobus.Ack} {
			where = at
			ls := f.deliver(2)
			synctest.Wait()
			for _, l := range ls {
				if o := f.outcome(t, l); o.Kind != kind {
					t.Errorf("%s: %+v", at, o)
				}
			}
		}
	})
}

func TestHooksAroundPublishing(t *testing.T) {
	var n notes
	f := newFakeBus()
	bad := autobus.Hooks{
		BeforePublish: func(context.Context, *autobus.Event) context.Context { panic("before") },
		AfterPublish:  func(context.Context, *autobus.Event, autobus.Receipt) { panic("after") },
	}
	bus := autobus.Hooked(autobus.Hooked(f, quiet(), n.hooks("b")), quiet(), n.hooks("a"), bad)
	b := &autobus.Batch{Events: []autobus.Event{{ID: "1"}}, Done: func(*autobus.Batch) { n.add("done") }}
	for range 2 { // the batch may be used again
		if err := bus.Publish(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		n.want(t, "a before publish 1", "b before publish 1", "b after publish written ab", "a after publish written a",
			"done")
	}
	if _, ok := f.sent[0].Ext("byb"); !ok {
		t.Error("what a hook did to the event did not reach the bus")
	}
	b.Events = []autobus.Event{{ID: "1"}, {ID: "2"}}
	if err := bus.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	n.want(t, "a before publish 1", "a before publish 2", "b before publish 1", "b before publish 2",
		"b after publish written b", "a after publish written a", "b after publish written b", "a after publish written a",
		"done")
}

func TestHooksAroundPublishingThatFails(t *testing.T) {
	var n notes
	f := newFakeBus()
	bus := autobus.Hooked(autobus.Hooked(f, quiet(), n.hooks("b")), nil, n.hooks("a"))
	b := &autobus.Batch{Events: []autobus.Event{{ID: "1"}}}
	f.refuse = func(*autobus.Batch) error { return autobus.NewError(autobus.ReasonShuttingDown, "") }
	for range 2 {
		if err := bus.Publish(t.Context(), b); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonShuttingDown}) {
			t.Error(err)
		}
		n.want(t, "a before publish 1", "b before publish 1", "b after publish refused ab", "a after publish refused a")
	}
	f.refuse = nil
	f.accept = func(*autobus.Batch, int) {} // later
	if err := bus.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(t.Context(), b); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonBatchInFlight}) {
		t.Error(err)
	}
	b.Resolve(0, autobus.Receipt{Status: autobus.Unknown})
	n.want(t, "a before publish 1", "b before publish 1", "b after publish unknown ab", "a after publish unknown a")
	f.accept = nil
	if err := f.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	n.want(t) // without the hooks
	if err := bus.Publish(t.Context(), &autobus.Batch{}); err != nil {
		t.Error(err)
	}
}
