// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

func TestPublishWritesTheDataUntouched(t *testing.T) {
	f := open(t)
	data := []byte("{ \"total\" : 1.50,\n\t\"id\":\"o-\\u0031\" }")
	rc := f.one(t, autobus.Event{ID: "e1", Source: "/shop", Type: orders, Data: data})
	if rc.Status != autobus.Written || rc.Offset != 0 {
		t.Fatalf("receipt %+v", rc)
	}
	got := f.records(t, orders)
	if len(got) != 1 || !bytes.Equal(got[0].Value, data) || string(got[0].Key) != "o-1" {
		t.Fatalf("records %+v", got)
	}
	if want := kafka.PartitionOf(kafka.Murmur2, []byte("o-1"), 4); rc.Partition != want || got[0].Partition != want {
		t.Errorf("partition %d in the receipt, %d in the log, want %d", rc.Partition, got[0].Partition, want)
	}
}

// Opaque data is written as it came, under the key that the client sends; JSON is not what such a type takes.
func TestOpaqueData(t *testing.T) {
	f := open(t)
	e := autobus.Event{ID: "e1", Source: "/shop", Type: images, ContentType: "image/PNG; q=1", Data: []byte("\x89PNG{"),
		Extensions: []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: "k"}}}
	rc := f.one(t, e)
	if want := kafka.PartitionOf(kafka.Murmur2, []byte("k"), 4); rc.Status != autobus.Written || rc.Partition != want {
		t.Fatalf("receipt %+v", rc)
	}
	if got := f.records(t, images); len(got) != 1 || string(got[0].Value) != "\x89PNG{" || string(got[0].Key) != "k" {
		t.Fatalf("records %+v", got)
	}
	for content, want := range map[string]autobus.Reason{"": autobus.ReasonContentType,
		"application/json": autobus.ReasonContentType, "image/pngx": autobus.ReasonContentType} {
		rc := f.one(t, autobus.Event{Type: images, ContentType: content, Data: []byte("{}")})
		if rc.Status != autobus.Refused || rc.Err.Reason != want || !strings.Contains(rc.Err.NextStep(), "image/png") {
			t.Errorf("%q: %+v", content, rc)
		}
	}
	if rc := f.one(t, autobus.Event{Type: images, ContentType: "image/png"}); rc.Status != autobus.Refused ||
		rc.Err.Reason != autobus.ReasonDataInvalid {
		t.Errorf("without data: %+v", rc)
	}
}

// Each refusal has its own reason, and the valid rest of the batch lands.
func TestRefusals(t *testing.T) {
	f := open(t)
	raw := func(data string) autobus.Event { return autobus.Event{Type: orders, Data: []byte(data)} }
	deep := autobus.Event{Type: notes, Data: []byte(strings.Repeat("[", 65) + strings.Repeat("]", 65))}
	of := func(name string) autobus.Event { return autobus.Event{Type: name, Data: []byte(`{}`)} }
	long := strings.Repeat("x", autobus.MaxEventBytes)
	for name, c := range map[string]struct {
		event autobus.Event
		want  autobus.Reason
	}{
		"unreadable":    {raw(`{"id":`), autobus.ReasonDataUnreadable},
		"duplicate key": {raw(`{"id":"a","id":"b"}`), autobus.ReasonDataUnreadable},
		"bad UTF-8":     {raw("{\"id\":\"\xff\"}"), autobus.ReasonDataUnreadable},
		"depth":         {deep, autobus.ReasonDataUnreadable},
		"wrong type":    {order("a", `"1"`), autobus.ReasonDataInvalid},
		"missing field": {raw(`{"id":"a"}`), autobus.ReasonDataInvalid},
		"unknown field": {raw(`{"id":"a","total":1,"x":1}`), autobus.ReasonDataInvalid},
		"no data":       {autobus.Event{Type: orders}, autobus.ReasonDataInvalid},
		"no key":        {raw(`{"total":1}`), autobus.ReasonKeyMissing},
		"null key":      {raw(`{"id":null,"total":1}`), autobus.ReasonKeyMissing},
		"no object":     {raw(`[]`), autobus.ReasonDataInvalid},
		"not JSON": {autobus.Event{Type: orders, ContentType: "text/plain", Data: []byte("x")},
			autobus.ReasonContentType},
		"unknown type":   {of("orders.order.placde.v1"), autobus.ReasonTypeUnknown},
		"reserved type":  {of("dlq.orders"), autobus.ReasonTypeReserved},
		"illegal type":   {of("orders placed"), autobus.ReasonTypeInvalid},
		"too large":      {order(long, "1"), autobus.ReasonEventTooLarge},
		"key too large":  {order(strings.Repeat("k", 1025), "1"), autobus.ReasonKeyTooLarge},
		"key mismatch":   {with(order("a", "1"), autobus.ExtPartitionKey, "b"), autobus.ReasonKeyMismatch},
		"our own header": {with(order("a", "1"), "autobusepoch", "2"), autobus.ReasonHeaderReserved},
		"long header":    {with(order("a", "1"), "trace", strings.Repeat("x", 4097)), autobus.ReasonHeaderTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			b := &autobus.Batch{Events: []autobus.Event{order("before", "1"), c.event, order("after", "1")}}
			got := f.publish(f.ctx, t, b)
			if got[1].Status != autobus.Refused || reason(got[1]) != c.want {
				t.Errorf("receipt %v, %v; want a refusal %s", got[1].Status, got[1].Err, c.want)
			}
			if got[0].Status != autobus.Written || got[2].Status != autobus.Written {
				t.Errorf("the valid rest: %v, %v", got[0], got[2])
			}
		})
	}
	for _, rec := range f.records(t, orders) {
		if key := string(rec.Key); key != "before" && key != "after" {
			t.Errorf("a refused event is in the log: key %q", key)
		}
	}
}

func TestAnUnknownTypeNamesNearOnes(t *testing.T) {
	f := open(t)
	rc := f.one(t, autobus.Event{Type: "orders.order.placde.v1", Data: []byte(`{}`)})
	if rc.Err == nil || !strings.Contains(rc.Err.NextStep(), orders) {
		t.Errorf("refusal %v, next step %q", rc.Err, rc.Err.NextStep())
	}
}

func TestNearNamesStayWithinTheGrants(t *testing.T) {
	f := open(t)
	ctx := as("a", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "orders.order.placde.v1"})
	got := f.publish(ctx, t, &autobus.Batch{Events: []autobus.Event{{Type: "orders.order.placde.v1",
		Data: []byte(`{}`)}}})
	if reason(got[0]) != autobus.ReasonTypeUnknown || strings.Contains(got[0].Err.NextStep(), orders) {
		t.Errorf("refusal %v, next step %q", got[0].Err, got[0].Err.NextStep())
	}
}

func TestNobodyPublishesWithoutAGrant(t *testing.T) {
	f := open(t)
	publishing := func(pattern string) context.Context {
		return as("a", autobus.Grant{Verb: autobus.VerbPublish, Pattern: pattern})
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		want autobus.Reason
	}{
		"nobody":        {context.Background(), autobus.ReasonUnauthenticated},
		"no grant":      {as("a"), autobus.ReasonForbidden},
		"other verb":    {as("a", autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: "*"}), autobus.ReasonForbidden},
		"other type":    {publishing("notes.*"), autobus.ReasonForbidden},
		"right pattern": {publishing("orders.*"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := f.publish(c.ctx, t, &autobus.Batch{Events: []autobus.Event{order("k", "1")}})
			if reason(got[0]) != c.want {
				t.Errorf("receipt %+v, want %q", got[0], c.want)
			}
		})
	}
}

func TestAbsentAttributesAreFilledIn(t *testing.T) {
	f := open(t)
	b := &autobus.Batch{Events: []autobus.Event{order("k", "1")}}
	f.publish(f.ctx, t, b)
	e := b.Events[0]
	if len(e.ID) != 36 || e.ID[14] != '7' || e.Source != "/tester" || time.Since(e.Time) > time.Minute ||
		string(e.Key) != "k" {
		t.Errorf("event after publish: %+v", e)
	}
}

// Where types without a spec are accepted, a misspelt one is not passed over in silence.
func TestATypeWithoutASpecComesWithAHint(t *testing.T) {
	f := open(t, func(c *bus.Config, _ *kafka.Config) {
		c.CreateType = func(context.Context, string) error { return nil }
	})
	f.route(t, "orders.order.plcaed.v1", 1, true)
	rc := f.one(t, autobus.Event{Type: "orders.order.plcaed.v1", Data: []byte(`{}`)})
	if rc.Status != autobus.Written || !strings.Contains(rc.Hint, orders) {
		t.Errorf("receipt %+v", rc)
	}
	if rc := f.one(t, order("a", "1")); rc.Hint != "" {
		t.Errorf("a type with a spec: %+v", rc)
	}
}

func TestPartitionKeyWithoutAKeyField(t *testing.T) {
	f := open(t)
	f.one(t, with(autobus.Event{Type: notes, Data: []byte(`{}`)}, autobus.ExtPartitionKey, "n-1"))
	f.one(t, autobus.Event{Type: notes, Data: []byte(`{}`)})
	keyed, keyless := 0, 0
	for _, rec := range f.records(t, notes) {
		if rec.Key == nil {
			keyless++
		} else if string(rec.Key) == "n-1" && rec.Partition == kafka.PartitionOf(kafka.Murmur2, rec.Key, 4) {
			keyed++
		}
	}
	if keyed != 1 || keyless != 1 {
		t.Errorf("%d records with the key, %d without", keyed, keyless)
	}
}

// Ordered: a failure stops its key and no other. Independent: a permanent refusal stops nothing.
func TestModesAndPredecessors(t *testing.T) {
	f := open(t)
	events := func() []autobus.Event {
		return []autobus.Event{order("a", "1"), order("a", `"wrong"`), order("b", "1"), order("a", "2")}
	}
	got := f.publish(f.ctx, t, &autobus.Batch{Mode: autobus.Ordered, Events: events()})
	if got[0].Status != autobus.Written || reason(got[1]) != autobus.ReasonDataInvalid ||
		got[2].Status != autobus.Written || reason(got[3]) != autobus.ReasonPredecessorFailed {
		t.Errorf("ordered: %v", got)
	}
	got = f.publish(f.ctx, t, &autobus.Batch{Events: events()})
	if got[3].Status != autobus.Written {
		t.Errorf("independent: %v", got)
	}
}

// Whatever an event fails for, under Ordered it stops its key: also where it failed before the key was needed.
func TestOrderedStopsTheKeyOfEveryFailure(t *testing.T) {
	f := open(t)
	f.pin(t, control.Route{Type: orders, Cluster: "main", Topic: orders, Partitions: 4, Hash: kafka.Murmur2, Epoch: 1,
		MaxEventBytes: 300})
	large := autobus.Event{Type: orders, Data: []byte(`{"id":"a","total":1,"note":"` + strings.Repeat("x", 400) + `"}`)}
	subject := order("a", "1")
	subject.Subject = "a\nb"
	for name, bad := range map[string]autobus.Event{
		"too large": large, "attribute": subject, "key mismatch": with(order("a", "1"), autobus.ExtPartitionKey, "zz"),
		"unreadable": {Type: orders, Data: []byte(`{"id":"a",`)},
	} {
		got := f.publish(f.ctx, t, &autobus.Batch{Mode: autobus.Ordered,
			Events: []autobus.Event{bad, order("a", "1"), order("b", "1")}})
		if got[0].Status != autobus.Refused || reason(got[1]) != autobus.ReasonPredecessorFailed {
			t.Errorf("%s: %v, then %v", name, got[0].Err, got[1])
		}
		if name != "unreadable" && got[2].Status != autobus.Written { // there the key is not known
			t.Errorf("%s: another key: %v", name, got[2].Err)
		}
	}
}

// Unknown types cost one read barrier together, not one each: an event beside them is not kept waiting.
func TestUnknownTypesWaitOnce(t *testing.T) {
	f := open(t)
	b := &autobus.Batch{Events: []autobus.Event{order("a", "1")}}
	for i := range 30 {
		b.Events = append(b.Events, autobus.Event{Type: fmt.Sprintf("no.such%d.v1", i), Data: []byte(`{}`)})
	}
	ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
	defer cancel()
	for i, rc := range f.publish(ctx, t, b) {
		if i > 0 && reason(rc) != autobus.ReasonTypeUnknown || i == 0 && rc.Status != autobus.Written {
			t.Errorf("event %d: %v", i, rc)
		}
	}
}

// A refusal waits for the control log: what another instance has made meanwhile is known.
func TestAnUnknownTypeIsLookedForInTheControlLog(t *testing.T) {
	f := openBehind(t, spec.Empty())
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Written {
		t.Errorf("receipt %+v", rc)
	}
}

// Without a broker everything appended is unknown, never refused, and what follows of that key is held back in the
// stream until the event itself was sent again.
func TestWithoutABrokerTheOutcomeIsUnknown(t *testing.T) {
	f := open(t)
	f.one(t, order("a", "1")) // the route is open
	_ = f.broker.Close()
	stream := &autobus.Stream{}
	publish := func(e autobus.Event) autobus.Receipt {
		b := &autobus.Batch{Stream: stream, Events: []autobus.Event{e}}
		if err := f.Publish(f.ctx, b); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return b.Wait(ctx)[0]
	}
	first := order("a", "2")
	first.ID = "first"
	if rc := publish(first); rc.Status != autobus.Unknown || reason(rc) != autobus.ReasonOutcomeUnknown {
		t.Fatalf("receipt %+v", rc)
	}
	if rc := publish(order("a", "3")); reason(rc) != autobus.ReasonPredecessorFailed {
		t.Errorf("the next event of the key: %+v", rc)
	}
	if rc := publish(order("b", "1")); rc.Status != autobus.Unknown {
		t.Errorf("another key: %+v", rc)
	}
	if rc := publish(first); rc.Status != autobus.Unknown {
		t.Errorf("the same event again: %+v", rc)
	}
}

func TestAFullStoreRefuses(t *testing.T) {
	full := autobus.NewError(autobus.ReasonStorageFull, "no room")
	f := open(t, func(c *bus.Config, _ *kafka.Config) { c.Full = func(int64) *autobus.Error { return full } })
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Refused || reason(rc) != autobus.ReasonStorageFull {
		t.Errorf("receipt %+v", rc)
	}
}

// A partition whose leader is away refuses only its own items.
func TestAFullPartitionRefusesOnlyItsOwnItems(t *testing.T) {
	f := open(t, func(_ *bus.Config, k *kafka.Config) { k.Buffer = 40_000 })
	f.one(t, order("a", "1"))
	_ = f.broker.Close()
	note := strings.Repeat("n", 20_000)
	event := func(key string) autobus.Event {
		return autobus.Event{Type: orders, Data: []byte(`{"id":"` + key + `","total":1,"note":"` + note + `"}`)}
	}
	// Keys of two different partitions.
	a, b := "a", "b"
	for i := 0; kafka.PartitionOf(kafka.Murmur2, []byte(a), 4) == kafka.PartitionOf(kafka.Murmur2, []byte(b), 4); i++ {
		b += "b"
	}
	if err := f.Publish(f.ctx, &autobus.Batch{Events: []autobus.Event{event(a)}}); err != nil {
		t.Fatal(err)
	}
	batch := &autobus.Batch{Events: []autobus.Event{event(a), event(b)}}
	if err := f.Publish(f.ctx, batch); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := batch.Wait(ctx)
	if got[0].Status != autobus.Refused || reason(got[0]) != autobus.ReasonCapacity || got[0].Err.RetryAfter == 0 {
		t.Errorf("the full partition: %+v", got[0])
	}
	if got[1].Status != autobus.Unknown {
		t.Errorf("the other one: %+v", got[1])
	}
}

func TestDrainTakesNothingMore(t *testing.T) {
	f := open(t)
	if err := f.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Publish(f.ctx, &autobus.Batch{Events: []autobus.Event{order("a", "1")}}); reasonOf(err) !=
		autobus.ReasonShuttingDown {
		t.Errorf("publish while draining: %v", err)
	}
}

func TestABatchIsBounded(t *testing.T) {
	f := open(t)
	b := &autobus.Batch{Events: make([]autobus.Event, autobus.MaxBatchEvents+1)}
	if err := f.Publish(f.ctx, b); reasonOf(err) != autobus.ReasonBatchTooLarge {
		t.Errorf("%d events: %v", len(b.Events), err)
	}
}

func with(e autobus.Event, name, value string) autobus.Event {
	e.SetExt(name, value)
	return e
}

// A type's own limit counts data, key and attributes together.
func TestAttributesCountAgainstTheLimitOfTheType(t *testing.T) {
	f := open(t)
	f.pin(t, control.Route{Type: orders, Cluster: "main", Topic: orders, Partitions: 4, Hash: kafka.Murmur2, Epoch: 1,
		MaxEventBytes: 300})
	long := order("a", "1")
	long.Subject = strings.Repeat("s", 300)
	if rc := f.one(t, long); reason(rc) != autobus.ReasonEventTooLarge {
		t.Errorf("a subject of 300 bytes under a limit of 300: %v", rc)
	}
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Written {
		t.Errorf("without it: %v", rc.Err)
	}
}
