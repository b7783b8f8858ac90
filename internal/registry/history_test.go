// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// order is a bundle of one type, whose data has a property more than the id.
func order(version, property string) spec.Files {
	files := bundleOf("order")
	const path = "events/orders/order.placed.v1.yaml"
	files[path] = bytes.Replace(specFile("order", version, "partitions: 3, bindingVersion: 0.5.0"),
		[]byte("properties: {id: {type: string}"), []byte("properties: {id: {type: string}"+property), 1)
	return files
}

func judged(t *testing.T, r instance, files spec.Files) string {
	t.Helper()
	p, err := r.Preview(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range p.Breaks {
		out = append(out, f.Message)
	}
	return strings.Join(out, "\n")
}

// A push is judged against every version that was in force, not only the one that is: by an instance that saw them all
// and by one that has just started.
func TestTheWholeHistoryIsJudged(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	push(t, r, order("1.0.0", ", note: {type: string}"))
	push(t, r, order("1.1.0", ""))
	for name, r := range map[string]instance{"old": r, "new": start(t, l)} {
		if got := judged(t, r, order("1.2.0", ", note: {type: string}")); got != "" {
			t.Errorf("%s: what was there returns: %s", name, got)
		}
		got := judged(t, r, order("1.2.0", ", note: {type: integer}"))
		if !strings.Contains(got, "the type changed") || !strings.Contains(got, "returned with another type") {
			t.Errorf("%s: another type returns: %q", name, got)
		}
	}
	// A type that went does not go again, and returns to its history.
	push(t, r, bundleOf("book"))
	if got := judged(t, r, bundleOf("book")); got != "" {
		t.Errorf("what is in force breaks %q", got)
	}
	if got := judged(t, r, order("1.2.0", ", note: {type: integer}")); !strings.Contains(got, "the type changed") {
		t.Errorf("after the type was away: %q", got)
	}
}

// A step back is a push of what was in force before. It is judged like any other push, and possible.
func TestAStepBack(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	first, second := order("1.0.0", ""), order("1.1.0", ", note: {type: string}")
	push(t, r, first)
	hash := r.Hash()
	push(t, r, second)
	if got := judged(t, r, first); got != "" {
		t.Errorf("the step back breaks %q", got)
	}
	if report := push(t, r, first); !report.Changed || report.Specs != 0 || r.Hash() != hash {
		t.Errorf("report %+v, in force %s", report, r.Hash())
	}
	if got := judged(t, r, second); got != "" {
		t.Errorf("the step forth breaks %q", got)
	}
	other := order("1.1.0", ", note: {type: string, maxLength: 3}")
	if got := judged(t, r, other); !strings.Contains(got, "in force before") {
		t.Errorf("a version that says something else than it did: %q", got)
	}
}

func TestEmptied(t *testing.T) {
	now := time.Now()
	for configs, want := range map[string]bool{
		"retention.ms=1000 segment.ms=1000":                               true,
		"retention.ms=1000":                                               false, // its files are a week old at most
		"retention.ms=86400000 segment.ms=1000":                           false,
		"retention.ms=-1 segment.ms=1000":                                 false,
		"segment.ms=1000":                                                 false,
		"retention.ms=1000 segment.ms=1000 cleanup.policy=compact,delete": false,
		"retention.ms=9223372036854775807 segment.ms=9223372036854775807": false,
	} {
		topic := kafka.Topic{Configs: map[string]string{}}
		for c := range strings.FieldsSeq(configs) {
			key, value, _ := strings.Cut(c, "=")
			topic.Configs[key] = value
		}
		if got := emptied(topic, now.Add(-time.Minute), now); got != want {
			t.Errorf("%s: %t", configs, got)
		}
	}
}

// Whoever dies between the records of a push leaves the specs before in force, for all, and the next push completes
// what it began.
func TestAPushThatDies(t *testing.T) {
	for _, kind := range []string{control.KindSpec, control.KindRoute, control.KindSubject} {
		t.Run(kind, func(t *testing.T) {
			l := broker(t)
			r, other := start(t, l), start(t, l)
			push(t, r, bundleOf("order"))
			hash := r.Hash()
			next := bundleOf("order", "book", "shelf")
			ctx, die := context.WithCancel(t.Context())
			var seen atomic.Int32
			r.control.Watch(kind, func(rec control.Record) {
				if rec.Actor == "bob" {
					seen.Add(1)
					die()
				}
			})
			if _, err := r.Push(ctx, next, "bob", ""); err == nil {
				t.Fatal("the push lived")
			}
			if err := other.control.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
			if seen.Load() == 0 {
				t.Fatalf("no %s record was written", kind)
			}
			for name, i := range map[string]instance{"the instance": r, "another": other, "a new one": start(t, l)} {
				if i.Hash() != hash || names(i.Snapshot()) != "orders.order.placed.v1@1.0.0" {
					t.Errorf("%s has %s in force", name, names(i.Snapshot()))
				}
			}
			if report := push(t, other, next); !report.Changed || other.Snapshot().Len() != 3 {
				t.Errorf("the next push: %+v", report)
			}
		})
	}
}

// Of pushes at once that were judged against the same specs one comes into force, whole; the others are told.
func TestPushesJudgedAgainstTheSame(t *testing.T) {
	l := broker(t)
	first := start(t, l)
	push(t, first, bundleOf("order"))
	base := first.Hash()
	const pushers = 3
	instances := make([]instance, pushers)
	for i := range instances {
		instances[i] = start(t, l)
	}
	errs, hashes := make([]error, pushers), make([]string, pushers)
	var wg sync.WaitGroup
	for i, r := range instances {
		wg.Go(func() {
			var report Report
			report, errs[i] = r.PushAfter(t.Context(), base, bundleOf("order", fmt.Sprint("book", i)), "alice", "")
			hashes[i] = report.Hash
		})
	}
	wg.Wait()
	if err := first.control.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won < 0:
			won = i
		case err == nil:
			t.Errorf("%d and %d both won", won, i)
		case !has(err, autobus.ReasonControlConflict):
			t.Errorf("%d: %v", i, err)
		}
	}
	if won < 0 || first.Hash() != hashes[won] || first.Snapshot().Len() != 2 {
		t.Errorf("%d won; in force %s", won, names(first.Snapshot()))
	}
	// What is in force already needs nobody's consent.
	if _, err := first.PushAfter(t.Context(), base, bundleOf("order", fmt.Sprint("book", won)), "alice", ""); err != nil {
		t.Errorf("the same again: %v", err)
	}
}

// The plan names every type whose spec would be another, and every other file, of what is in force: nothing that comes
// into force goes unsaid.
func TestAPlanSaysWhatChanges(t *testing.T) {
	r := start(t, broker(t))
	push(t, r, bundleOf("book", "order"))
	files := bundleOf("book")
	maps.Copy(files, order("1.1.0", ", note: {type: string}"))
	files["events/orders/book.placed.v1.yaml"] = append(files["events/orders/book.placed.v1.yaml"], "# words\n"...)
	files["teams.yaml"] = []byte("teams: {team-orders: {}}\n")
	p, err := r.Preview(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Update{{"orders.book.placed.v1", "1.0.0", "1.0.0"}, {"orders.order.placed.v1", "1.0.0", "1.1.0"}}; len(
		p.Added)+len(p.Removed) != 0 || !slices.Equal(p.Updated, want) || !slices.Equal(p.Files, []string{"teams.yaml"}) {
		t.Errorf("%+v", p)
	}
	push(t, r, files)
	if p, err = r.Preview(t.Context(), files); err != nil || p.Changed || len(p.Updated)+len(p.Files) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	delete(files, "teams.yaml")
	if p, err = r.Preview(t.Context(), files); err != nil || len(p.Updated) != 0 || !slices.Equal(p.Files,
		[]string{"teams.yaml"}) {
		t.Errorf("%+v, %v", p, err)
	}
}

// The plan names the subscriptions that services would have, would have otherwise, and would declare no more.
func TestAPlanSaysWhichSubscriptionsChange(t *testing.T) {
	r := start(t, broker(t))
	service := func(instances, window string) spec.Files {
		files := bundleOf("order")
		files["services/bob.yaml"] = []byte(`asyncapi: 3.1.0
info: {title: bob, version: 1.0.0, x-owner: team-bob}
channels:
  placed: {$ref: '../events/orders/order.placed.v1.yaml#/channels/placed'}
operations:
  onPlaced:
    action: receive
    channel: {$ref: '#/channels/placed'}
    x-subscription: {instances: ` + instances + `, window: ` + window + `}
`)
		return files
	}
	plan := func(files spec.Files) []SubscriptionChange {
		p, err := r.Preview(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		return p.Subscriptions
	}
	const file = "services/bob.yaml"
	first := service("{bob-kz: {country: kz}, bob-by: {country: by}}", "100")
	if got := plan(first); !slices.Equal(got, []SubscriptionChange{{"bob-by", file, "added"}, {"bob-kz", file, "added"}}) {
		t.Errorf("%+v", got)
	}
	push(t, r, first)
	if got := plan(first); got == nil || len(got) != 0 {
		t.Errorf("the same: %+v", got)
	}
	want := []SubscriptionChange{{"bob-kz", file, "changed"}, {"bob-by", file, "undeclared"}}
	if got := plan(service("{bob-kz: {country: kz}}", "50")); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The bus has subscriptions that no file tells of: a push that is no good to them says so, once.
func TestAPushIsJudgedByTheSubscriptionsThereAre(t *testing.T) {
	r := start(t, broker(t))
	const file = "events/orders/order.placed.v1.yaml"
	command := order("1.0.0", "")
	command[file] = bytes.Replace(command[file], []byte("kind:event"), []byte("kind:command"), 1)
	push(t, r, command)
	rec, err := control.NewRecord(control.KindSubscription, "desk", control.None, control.Subscription{
		Policy: autobus.Policy{Types: []string{"orders.order.placed.v1"}, Owner: "team-desk"}})
	if err != nil {
		t.Fatal(err)
	}
	rec.Actor = "a test"
	if _, err := r.control.Change(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	served := maps.Clone(command)
	served["services/shop.yaml"] = serviceFile("shop")
	retired := maps.Clone(served)
	retired[file] = bytes.Replace(command[file], []byte("x-lifecycle: active"), []byte("x-lifecycle: retired"), 1)
	for _, c := range []struct {
		files spec.Files
		want  string
	}{
		{served, "the command orders.order.placed.v1 is handled by the subscription desk of team-desk already"},
		{retired, "orders.order.placed.v1 is retired, but the subscription desk of team-desk reads it"},
	} {
		if got := judged(t, r, c.files); !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
		push(t, r, c.files)
		if got := judged(t, r, c.files); got != "" {
			t.Errorf("once it is in force it breaks %q", got)
		}
	}
}
