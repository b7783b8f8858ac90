// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const orderSpec = `
asyncapi: 3.1.0
info: {title: orders.order.placed, version: 1.0.0}
channels:
  placed:
    address: orders.order.placed.v1
    messages: {placed: {$ref: '#/components/messages/placed'}}
components:
  messages:
    placed:
      bindings: {kafka: {key: {type: string, x-from: /id}, bindingVersion: 0.5.0}}
      payload:
        type: object
        required: [id, total]
        properties: {id: {type: string}, total: {type: number}, note: {type: string}}
`

const noteSpec = `
asyncapi: 3.1.0
info: {title: notes.note.taken, version: 1.0.0}
channels:
  taken:
    address: notes.note.taken.v1
    messages: {taken: {payload: {type: object, properties: {text: {type: string}}}}}
`

const imageSpec = `
asyncapi: 3.1.0
info: {title: image stored, version: 1.0.0}
channels:
  stored: {address: shop.image.stored.v1, messages: {stored: {contentType: image/png}}}
`

// One partition, for what depends on that.
const thingSpec = `
asyncapi: 3.1.0
info: {title: one.thing.sent, version: 1.0.0}
channels:
  sent:
    address: one.thing.sent.v1
    messages:
      sent:
        bindings: {kafka: {key: {type: string, x-from: /id}, bindingVersion: 0.5.0}}
        payload: {type: object, required: [id], properties: {id: {type: string}}}
`

const (
	orders = "orders.order.placed.v1"
	notes  = "notes.note.taken.v1"
	images = "shop.image.stored.v1" // data that nobody looks at
	things = "one.thing.sent.v1"    // has a spec, but no route unless a test makes it
	raw    = "raw.thing.sent.v1"    // has a route, but no spec
)

// fixture is a bus on an embedded broker with the two types above.
type fixture struct {
	*bus.Bus
	broker  *kafka.Embedded
	log     *kafka.Log
	control *control.Log
	state   *control.State
	ctx     context.Context // in which everything is allowed
}

type option func(*bus.Config, *kafka.Config)

func open(t testing.TB, options ...option) *fixture {
	t.Helper()
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	f := openOn(t, broker.Addr(), options...)
	f.broker = broker
	return f
}

// openOn makes the bus on a broker.
func openOn(t testing.TB, addr string, options ...option) *fixture {
	t.Helper()
	snapshot, err := spec.Parse(spec.Files{"order.yaml": []byte(orderSpec), "note.yaml": []byte(noteSpec),
		"image.yaml": []byte(imageSpec), "quote.yaml": []byte(quoteSpec), "book.yaml": []byte(bookSpec),
		"thing.yaml": []byte(thingSpec)})
	if err != nil {
		t.Fatal(err)
	}
	cfg := bus.Config{Embedded: true, Instance: "test", Logger: slog.New(slog.DiscardHandler),
		Snapshot: func() *spec.Snapshot { return snapshot }}
	kcfg := kafka.Config{Name: "main", Logger: cfg.Logger}
	for _, o := range options {
		o(&cfg, &kcfg)
	}
	f := &fixture{ctx: as("tester", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "*"},
		autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: "*"},
		autobus.Grant{Verb: autobus.VerbRequest, Pattern: "*"},
		autobus.Grant{Verb: autobus.VerbManage, Pattern: "*"}, autobus.Grant{Verb: autobus.VerbPeek, Pattern: "*"},
		autobus.Grant{Verb: autobus.VerbRedrive, Pattern: "*"})}
	kcfg.Brokers = []string{addr}
	if f.log, err = kafka.Open(t.Context(), kcfg); err != nil {
		t.Fatal(err)
	}
	if _, _, err := control.Init(t.Context(), f.log, control.Settings{ClusterName: "main", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	if f.control, err = control.Open(t.Context(), f.log, cfg.Logger); err != nil {
		t.Fatal(err)
	}
	if f.state, err = control.OpenState(t.Context(), f.log, cfg.Logger); err != nil {
		t.Fatal(err)
	}
	cfg.Log, cfg.Control, cfg.State = f.log, f.control, f.state
	f.Bus = bus.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	parts := []func(context.Context) error{f.control.Run, f.state.Run, f.Run}
	done := make(chan error, len(parts))
	for _, run := range parts {
		go func() { done <- run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range parts {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		ended, end := context.WithCancel(context.Background())
		end()
		_ = f.log.Close(ended) // some tests leave appends without a broker
	})
	f.route(t, orders, 4, true)
	f.route(t, notes, 4, true)
	f.route(t, raw, 4, true)
	f.route(t, images, 4, true)
	return f
}

// route makes a topic and its route.
func (f *fixture) route(t testing.TB, name string, partitions int32, bestEffort bool) {
	t.Helper()
	topic := kafka.NewTopic{Name: name, Partitions: partitions, Replicas: 1}
	if _, err := f.log.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	f.pin(t, control.Route{Type: name, Cluster: "main", Topic: name, Partitions: partitions, Hash: kafka.Murmur2,
		Order: control.OrderKey, Epoch: 1, MaxEventBytes: autobus.MaxEventBytes, BestEffort: bestEffort})
}

func (f *fixture) pin(t testing.TB, r control.Route) {
	t.Helper()
	current, _ := f.control.Get(control.KindRoute, r.Type)
	rec, err := control.NewRecord(control.KindRoute, r.Type, current.Offset, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.control.Change(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
}

func as(name string, grants ...autobus.Grant) context.Context {
	return autobus.WithPrincipal(context.Background(), autobus.Principal{Name: name, Grants: grants})
}

func order(id, total string) autobus.Event {
	return autobus.Event{Type: orders, Data: []byte(`{"id":"` + id + `","total":` + total + `}`)}
}

// publish sends one batch and waits for its receipts.
func (f *fixture) publish(ctx context.Context, t *testing.T, b *autobus.Batch) []autobus.Receipt {
	t.Helper()
	if err := f.Publish(ctx, b); err != nil {
		t.Fatal(err)
	}
	return b.Wait(t.Context())
}

// one publishes a single event.
func (f *fixture) one(t *testing.T, e autobus.Event) autobus.Receipt {
	t.Helper()
	return f.publish(f.ctx, t, &autobus.Batch{Events: []autobus.Event{e}})[0]
}

// records reads everything of a topic.
func (f *fixture) records(t *testing.T, topic string) []kafka.Record {
	t.Helper()
	ends, err := f.log.Ends(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	from, want := map[kafka.TP]int64{}, int64(0)
	for tp, end := range ends {
		from[tp], want = 0, want+end
	}
	r, err := f.log.Read(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []kafka.Record
	for int64(len(out)) < want {
		records, err := r.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, records...)
	}
	return out
}

func reason(rc autobus.Receipt) autobus.Reason {
	if rc.Err == nil {
		return ""
	}
	return rc.Err.Reason
}

func reasonOf(err error) autobus.Reason {
	if e, ok := errors.AsType[*autobus.Error](err); ok {
		return e.Reason
	}
	return ""
}
