// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestCreateTypeOnce(t *testing.T) {
	l := broker(t)
	rs := []instance{start(t, l), start(t, l)}
	var wg sync.WaitGroup
	for _, r := range rs {
		for range 8 {
			wg.Go(func() {
				if err := r.CreateType(t.Context(), "Some_topic"); err != nil {
					t.Error(err)
				}
				if _, ok := r.control.Get(control.KindRoute, "Some_topic"); !ok {
					t.Error("CreateType returned before the route was known here")
				}
			})
		}
	}
	wg.Wait()
	rec, _ := rs[0].control.Get(control.KindRoute, "Some_topic")
	got, err := control.Decode[control.Route](rec)
	want := control.Route{Type: "Some_topic", Cluster: "main", Topic: "Some_topic", Partitions: 1, Hash: "murmur2",
		Order: "key", Epoch: 1, MaxEventBytes: autobus.MaxEventBytes, BestEffort: true, Unspecified: true}
	if err != nil || got != want || rec.Prev != control.None {
		t.Errorf("route %+v (prev %d), %v; want %+v", got, rec.Prev, err, want)
	}
	if topics := topicsOf(t, l); !slices.Equal(topics, []string{"Some_topic"}) {
		t.Errorf("topics %v", topics)
	}
}

func TestCreateTypeTakesATopicAsItIs(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	if _, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: "foreign", Partitions: 5, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	if err := r.CreateType(t.Context(), "foreign"); err != nil {
		t.Fatal(err)
	}
	if got := r.route("foreign"); got.Partitions != 5 || !got.Unspecified {
		t.Errorf("route %+v", got.Route)
	}
}

func TestCreateTypeLeavesSpecsAlone(t *testing.T) {
	r := start(t, broker(t))
	push(t, r, bundleOf("order"))
	end := r.control.End()
	if err := r.CreateType(t.Context(), "orders.order.placed.v1"); err != nil || r.control.End() != end {
		t.Errorf("%v, %d records written", err, r.control.End()-end)
	}
}

func TestCreateTypeRefuses(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	for name, want := range map[string]autobus.Reason{
		"_autobus.control":       autobus.ReasonTypeReserved,
		"dlq.orders":             autobus.ReasonTypeReserved,
		"":                       autobus.ReasonTypeInvalid,
		"a b":                    autobus.ReasonTypeInvalid,
		"..":                     autobus.ReasonTypeInvalid,
		"refunds.ask.a.v1.reply": autobus.ReasonTypeInvalid,
	} {
		if err := r.CreateType(t.Context(), name); !has(err, want) {
			t.Errorf("CreateType(%q) = %v, want %s", name, err, want)
		}
	}
	r.cfg.Dev = false
	if err := r.CreateType(t.Context(), "orders.order.placed.v1"); !has(err, autobus.ReasonTypeUnknown) {
		t.Errorf("outside dev: %v", err)
	}
	if topics := topicsOf(t, l); len(topics) != 0 {
		t.Errorf("refused names made topics %v", topics)
	}
}

func TestCreateTypeRefusesTwins(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	if err := r.CreateType(t.Context(), "a.b_c.v1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := r.CreateType(t.Context(), "a_b.c.v1")
		refused, ok := errors.AsType[*autobus.Error](err)
		if !ok || refused.Reason != autobus.ReasonTypeInvalid || !strings.Contains(refused.Detail, "topic a.b_c.v1") ||
			!strings.Contains(refused.Hint, "a.b_c.v1") {
			t.Errorf("got %v", err)
		}
	}
	if err := r.CreateType(t.Context(), "a.b-c.v1"); err != nil {
		t.Error(err)
	}
	if topics := topicsOf(t, l); !slices.Equal(topics, []string{"a.b-c.v1", "a.b_c.v1"}) {
		t.Errorf("topics %v", topics)
	}
}

func TestSpecTakesOverAnUnspecifiedType(t *testing.T) {
	r := start(t, broker(t))
	if err := r.CreateType(t.Context(), "orders.order.placed.v1"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Push(t.Context(), bundleOf("order"), "alice", ""); !has(err, autobus.ReasonSpecInvalid) {
		t.Errorf("three partitions over one: %v", err)
	}
	files := bundleOf("order")
	files["events/orders/order.placed.v1.yaml"] = specFile("order", "1.0.0", "bindingVersion: 0.5.0")
	push(t, r, files)
	got := r.route("orders.order.placed.v1")
	if got.Unspecified || got.BestEffort || got.Partitions != 1 || got.Epoch != 1 {
		t.Errorf("route %+v", got.Route)
	}
}
