// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// eventFile declares a type with one channel, made.
func eventFile(name string) []byte {
	return []byte("asyncapi: 3.1.0\ninfo: {title: x, version: 1.0.0}\nchannels:\n  made:\n    address: " + name +
		"\n    messages: {m: {payload: {type: object}}}\n")
}

// serviceFile holds operations, with two events to refer to: a.yaml and b.yaml.
func serviceFile(t *testing.T, info, operations string) (*Snapshot, error) {
	t.Helper()
	return Parse(Files{"events/a.yaml": eventFile("tests.a.made.v1"), "events/b.yaml": eventFile("tests.b.made.v1"),
		"services/bob.yaml": []byte("asyncapi: 3.1.0\ninfo: " + info + "\noperations:\n" + operations)})
}

func subscription(t *testing.T, s *Snapshot, name string) Subscription {
	t.Helper()
	sub, ok := s.Subscription(name)
	if !ok {
		t.Fatalf("no subscription %s", name)
	}
	return *sub
}

func TestSubscriptionOfAService(t *testing.T) {
	s := parseDir(t, "testdata/shop")
	want := Subscription{Name: "refund-tool", Service: "refund-tool", File: "services/refund-tool.yaml", Line: 8,
		Policy: autobus.Policy{Types: []string{"orders.order.placed.v1"}, Owner: "team-refunds",
			Retry: autobus.RetryPolicy{Backoff: autobus.DefaultBackoff()}}}
	if got := subscription(t, s, "refund-tool"); !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if got := s.Subscriptions(); len(got) != 1 || got[0].Name != "refund-tool" {
		t.Errorf("got %d subscriptions: the owner's own operation is none", len(got))
	}
	if _, ok := s.Subscription("bob"); ok || len(Empty().Subscriptions()) != 0 {
		t.Error("a subscription that nobody declares")
	}
}

// One file, four groups: what the instances share is written once, what tells them apart is in params.
func TestFourInstancesFromOneFile(t *testing.T) {
	s, err := serviceFile(t, "{title: bob, version: 1.0.0, contact: {name: team-bob}}", `
  onRefunded:
    action: receive
    channel: {$ref: '../events/a.yaml#/channels/made'}
    x-subscription:
      instances: {bob-ru: {country: ru}, bob-kz: {country: kz}, bob-ua: {country: ua}, bob-by: {country: by}}
      filter: "data.country == params.country"
      order: partition
      start: earliest
      window: 50
      ack-wait: 1m
      on-exhausted: drop
    x-sla: {max-age: 60s}
    x-on-failure: {retries: [1s, 10s, 1m], max-attempts: 9, max-time: 24h}
`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, sub := range s.Subscriptions() {
		names = append(names, sub.Name)
		want := autobus.Policy{Types: []string{"tests.a.made.v1"}, Filter: "data.country == params.country",
			Params: map[string]string{"country": strings.TrimPrefix(sub.Name, "bob-")},
			Start:  autobus.Start{Earliest: true}, Order: autobus.OrderPartition, Window: &autobus.Window{Events: 50},
			AckWait: autobus.Duration(time.Minute), OnExhausted: autobus.Drop, Owner: "team-bob",
			Retry: autobus.RetryPolicy{Backoff: autobus.DefaultBackoff(), MaxAttempts: 9,
				MaxTime: autobus.Duration(24 * time.Hour)}}
		if !reflect.DeepEqual(sub.Policy, want) || sub.Service != "bob" || sub.Line != 9 {
			t.Errorf("\n got %+v\nwant %+v", *sub, want)
		}
	}
	if got := strings.Join(names, " "); got != "bob-by bob-kz bob-ru bob-ua" {
		t.Errorf("got %s", got)
	}
}

// What operations of one group say is one subscription, if they mean the same; a trait says it once for all.
func TestSeveralTypesOfOneSubscription(t *testing.T) {
	s, err := serviceFile(t, "{title: '', version: 1.0.0, x-owner: team-bob, contact: {name: somebody}}", `
  onB:
    action: receive
    channel: {$ref: '../events/b.yaml#/channels/made'}
    bindings: {kafka: {groupId: {const: bob}}}
    traits: [{$ref: '#/components/operationTraits/careful'}]
    x-subscription: {owner: team-b, start: {time: 2026-01-31T15:04:05Z}}
  onA:
    action: receive
    channel: {$ref: '../events/a.yaml#/channels/made'}
    traits: [{$ref: '#/components/operationTraits/careful'}]
    x-subscription:
      instances: {bob: {}}
      order: key # which is the default
      start: {time: 2026-01-31T15:04:05Z}
      owner: team-b
      window: {events: 100}
  alone:
    action: receive
    channel: {$ref: '../events/a.yaml#/channels/made'}
    x-subscription: {instances: {alone: {}}, window: {bytes: 4096}}
components:
  operationTraits:
    careful: {x-on-failure: {max-attempts: 14}}
`)
	if err != nil {
		t.Fatal(err)
	}
	bob := subscription(t, s, "bob")
	if !slices.Equal(bob.Policy.Types, []string{"tests.a.made.v1", "tests.b.made.v1"}) || bob.Service != "bob" ||
		bob.Policy.Owner != "team-b" || bob.Policy.Retry.MaxAttempts != 14 || bob.Policy.Params != nil ||
		!bob.Policy.Start.Time.Equal(time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)) {
		t.Errorf("got %+v", bob)
	}
	if alone := subscription(t, s, "alone").Policy; alone.Owner != "team-bob" || *alone.Window !=
		(autobus.Window{Bytes: 4096}) {
		t.Errorf("got %+v", alone)
	}
}

// A fault says where it is for people and for programs, and what to do.
func TestFaultsOfSubscriptions(t *testing.T) {
	op := "  onA:\n    action: receive\n    channel: {$ref: '../events/a.yaml#/channels/made'}\n"
	for yaml, want := range map[string]Problem{
		op: {Line: 4, Pointer: "/operations/onA", Message: "the operation receives for no group",
			Hint: "Add bindings: {kafka: {groupId: {type: string, const: the-name}}}, or x-subscription: " +
				"{instances: {the-name: {}}}."},
		op + "    x-subscription: {instances: {a: {}}, ack_wait: 30s}\n": {Line: 7,
			Pointer: "/operations/onA/x-subscription/ack_wait", Message: "there is no key ack_wait",
			Hint: "Did you mean ack-wait?"},
		op + "    x-subscription: {instances: {a: {}}, sla: {}}\n": {Line: 7,
			Pointer: "/operations/onA/x-subscription/sla", Message: "there is no key sla",
			Hint: "The keys here are instances, filter, order, queue, start, window, ack-wait, on-exhausted, delivery, owner."},
		op + "    x-subscription: {instances: {a: {}}, queue: yes}\n": {Line: 7,
			Pointer: "/operations/onA/x-subscription/queue", Message: "queue must be true or false",
			Hint: "Write true or false, without quotes."},
		op + "    x-subscription: {instances: {a: {}}, on-exhausted: held}\n": {Line: 7,
			Pointer: "/operations/onA/x-subscription/on-exhausted", Message: `on-exhausted "held" is not one`,
			Hint: "Use dlq, hold, drop or stop."},
		op + "    x-subscription: {instances: {a: {}}}\n    x-on-failure: {maxattempts: 1}\n": {Line: 8,
			Pointer: "/operations/onA/x-on-failure/maxattempts", Message: "there is no key maxattempts",
			Hint: "Did you mean max-attempts?"},
	} {
		_, err := serviceFile(t, "{title: bob, version: 1.0.0}", yaml)
		ps := problemsOf(t, err)
		want.File, want.Rule = "services/bob.yaml", "S28"
		ps[0].Column = 0
		if len(ps) != 1 || ps[0] != want {
			t.Errorf("%s\n got %+v\nwant %+v", yaml, ps, want)
		}
	}
}

func TestASubscriptionHasAtMostAHundredTypes(t *testing.T) {
	files := Files{}
	ops := "asyncapi: 3.1.0\ninfo: {title: bob, version: 1.0.0}\noperations:\n"
	for i := range 101 {
		n := "n" + strings.Repeat("i", i)
		files["events/"+n+".yaml"] = eventFile("tests." + n + ".made.v1")
		ops += "  " + n + ": {action: receive, channel: {$ref: '../events/" + n + ".yaml#/channels/made'}, " +
			"bindings: {kafka: {groupId: {const: bob}}}}\n"
	}
	files["services/bob.yaml"] = []byte(ops)
	_, err := Parse(files)
	if ps := problemsOf(t, err); len(ps) != 1 || ps[0].Line != 4 ||
		ps[0].Message != "the subscription bob: types has 101 entries, at most 100 are allowed" {
		t.Errorf("got %v", ps)
	}
	ops = strings.Replace(ops, "  n:", "  unknown:", 1)
	files["services/bob.yaml"] = []byte(ops[:strings.LastIndex(ops, "  n")])
	s, err := Parse(files)
	if err != nil || len(subscription(t, s, "bob").Policy.Types) != 100 {
		t.Errorf("a hundred types: %v", err)
	}
}

// The how-to shows a service beside the event that its first example declares.
func TestTheExampleOfAServiceInTheHowto(t *testing.T) {
	raw, err := os.ReadFile("../docs/howto/specs.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, after := range strings.Split(string(raw), "\n```yaml\n")[1:] {
		block, _, _ := strings.Cut(after, "\n```")
		blocks = append(blocks, block)
	}
	if len(blocks) != 2 {
		t.Fatalf("the how-to has %d YAML blocks", len(blocks))
	}
	s, err := Parse(Files{"orders/order.placed.v1.yaml": []byte(blocks[0]), "services/shipping.yaml": []byte(blocks[1])})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, sub := range s.Subscriptions() {
		names = append(names, sub.Name)
		if !strings.Contains(string(raw), "`"+sub.Name+"`") {
			t.Errorf("the text does not speak of %s", sub.Name)
		}
	}
	kz := subscription(t, s, "shipping-kz")
	if len(names) != 3 || !maps.Equal(kz.Policy.Params, map[string]string{"country": "kz"}) {
		t.Errorf("the example makes %v", names)
	}
	for word := range strings.SplitSeq("instances filter order queue start window ack-wait on-exhausted owner retries "+
		"max-attempts max-time", " ") {
		if !strings.Contains(string(raw), "`"+word+"`") {
			t.Errorf("the how-to does not explain %s", word)
		}
	}
}

func FuzzService(f *testing.F) {
	f.Add([]byte("asyncapi: 3.1.0\ninfo: {title: bob, version: 1.0.0}\noperations:\n  a: {action: receive, " +
		"channel: {$ref: '../events/a.yaml#/channels/made'}, x-subscription: {instances: {bob-kz: {country: kz}}}, " +
		"x-on-failure: {retries: [1s]}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(Files{"events/a.yaml": eventFile("tests.a.made.v1"), "services/bob.yaml": data})
		if err != nil {
			_ = problemsOf(t, err).Error()
			return
		}
		for _, sub := range s.Subscriptions() {
			if err := sub.Policy.Check(); err != nil {
				t.Fatalf("the policy of %q: %v", sub.Name, err)
			}
		}
	})
}
