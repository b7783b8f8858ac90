// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// tail subscribes and returns the deliveries as they come; opened is closed when it stands.
func (f *fixture) tail(ctx context.Context, t *testing.T, s autobus.Subscription) (<-chan autobus.Delivery,
	<-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	deliveries, ended, opened := make(chan autobus.Delivery, 100), make(chan error, 1), make(chan struct{})
	s.Opened = func(autobus.Address) { close(opened) }
	go func() {
		ended <- f.Subscribe(ctx, s, func(_ context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				deliveries <- d
			}
		})
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		if err, open := <-ended; open && err != nil {
			t.Errorf("the tail ended with %v", err)
		}
	})
	select {
	case <-opened:
	case err := <-ended:
		ended <- err
	}
	return deliveries, ended
}

func keys(ds <-chan autobus.Delivery, n int) []string {
	var out []string
	for range n {
		out = append(out, string((<-ds).Key))
	}
	slices.Sort(out)
	return out
}

func TestTailStartsWhereItIsTold(t *testing.T) {
	f := open(t)
	f.one(t, order("a", "1"))
	first := f.records(t, orders)[0].Time
	between := first.Add(time.Millisecond)
	for !time.Now().After(between) { // the second record gets a later timestamp
		f.one(t, autobus.Event{Type: notes, Data: []byte(`{}`)})
	}
	f.one(t, order("b", "1"))
	earliest, _ := f.tail(f.ctx, t, autobus.Subscription{Tail: []string{orders}, From: autobus.Start{Earliest: true}})
	since, _ := f.tail(f.ctx, t, autobus.Subscription{Tail: []string{orders}, From: autobus.Start{Time: between}})
	latest, _ := f.tail(f.ctx, t, autobus.Subscription{Tail: []string{orders}})
	f.one(t, order("c", "1"))
	if got := keys(earliest, 3); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("earliest: %v", got)
	}
	if got := keys(since, 2); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("from a time: %v", got)
	}
	if got := keys(latest, 1); !slices.Equal(got, []string{"c"}) {
		t.Errorf("latest: %v", got)
	}
}

func TestTailFiltersAndFollowsNewTypes(t *testing.T) {
	f := open(t)
	ds, _ := f.tail(f.ctx, t, autobus.Subscription{Tail: []string{"orders.*"}, Filter: `key != "b"`})
	f.one(t, order("b", "1"))
	f.one(t, order("a", "1"))
	if got := keys(ds, 1); got[0] != "a" {
		t.Errorf("filtered: %v", got)
	}
	f.route(t, "orders.order.paid.v1", 1, true)
	write(t, f.log, "orders.order.paid.v1", "new")
	if d := <-ds; d.Type != "orders.order.paid.v1" || !d.Unspecified || string(d.Key) != "new" {
		t.Errorf("of the type that appeared: %+v", d)
	}
}

func TestTailWithoutAnyTypeWaitsForOne(t *testing.T) {
	f := open(t)
	ds, _ := f.tail(f.ctx, t, autobus.Subscription{Tail: []string{"later.*"}})
	f.route(t, "later.thing.made.v1", 1, true)
	write(t, f.log, "later.thing.made.v1", "x")
	if d := <-ds; string(d.Key) != "x" {
		t.Errorf("%+v", d)
	}
}

// The topic of a type is away when the tail begins, and comes back: so do its events.
func TestTailFindsATopicThatComesBack(t *testing.T) {
	f := open(t)
	f.pin(t, control.Route{Type: "late.thing.made.v1", Cluster: "main", Topic: "late.thing.made.v1", Partitions: 1,
		Hash: kafka.Murmur2, Epoch: 1, MaxEventBytes: 1000})
	ds, _ := f.tail(f.ctx, t, autobus.Subscription{Tail: []string{"late.*", orders}})
	f.one(t, order("a", "1"))
	if d := <-ds; string(d.Key) != "a" {
		t.Errorf("of the type that is there: %+v", d)
	}
	if _, err := f.log.CreateTopic(t.Context(), kafka.NewTopic{Name: "late.thing.made.v1", Partitions: 1,
		Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	write(t, f.log, "late.thing.made.v1", "x")
	if d := <-ds; string(d.Key) != "x" {
		t.Errorf("of the one that came back: %+v", d)
	}
}

func TestTailDeliversOnlyWhatIsGranted(t *testing.T) {
	f := open(t)
	f.one(t, order("a", "1"))
	f.one(t, with(autobus.Event{Type: notes, Data: []byte(`{}`)}, autobus.ExtPartitionKey, "n"))
	ctx := as("reader", autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: "notes.*"})
	ds, _ := f.tail(ctx, t, autobus.Subscription{Tail: []string{"*"}, From: autobus.Start{Earliest: true}})
	f.one(t, order("b", "1"))
	f.one(t, with(autobus.Event{Type: notes, Data: []byte(`{}`)}, autobus.ExtPartitionKey, "n"))
	if got := keys(ds, 2); !slices.Equal(got, []string{"n", "n"}) {
		t.Errorf("delivered %v", got)
	}
}

func TestTailRefusals(t *testing.T) {
	f := open(t)
	sub := func(pattern string) context.Context {
		return as("r", autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: pattern})
	}
	tail := func(pattern string) autobus.Subscription { return autobus.Subscription{Tail: []string{pattern}} }
	for name, c := range map[string]struct {
		ctx  context.Context
		s    autobus.Subscription
		want autobus.Reason
	}{
		"nobody":          {context.Background(), tail(orders), autobus.ReasonUnauthenticated},
		"no grant":        {as("r"), tail("*"), autobus.ReasonForbidden},
		"another's type":  {sub("notes.*"), tail(orders), autobus.ReasonForbidden},
		"foreign pattern": {sub("notes.*"), tail("orders.*"), autobus.ReasonForbidden},
		"no pattern":      {sub("*"), tail("orders*"), autobus.ReasonRequestInvalid},
		"unknown type":    {sub("*"), tail("orders.order.gone.v1"), autobus.ReasonTypeUnknown},
		"bad filter": {sub("*"), autobus.Subscription{Tail: []string{orders}, Filter: "data."},
			autobus.ReasonFilterInvalid},
		"no subscription": {sub("*"), autobus.Subscription{Name: "bob"}, autobus.ReasonSubscriptionUnknown},
		"nothing":         {sub("*"), autobus.Subscription{}, autobus.ReasonRequestInvalid},
		"inbox":           {sub("*"), autobus.Subscription{Inbox: true}, autobus.ReasonForbidden},
		"inbox and types": {sub("*"), autobus.Subscription{Inbox: true, Tail: []string{orders}},
			autobus.ReasonRequestInvalid},
	} {
		err := f.Subscribe(c.ctx, c.s, func(context.Context, []autobus.Delivery) {})
		if reasonOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	ss := []autobus.Settlement{{Lease: "made-up", Outcome: autobus.Outcome{Kind: autobus.Ack}}}
	if err := f.Settle(f.ctx, ss); err != nil || ss[0].Err == nil || ss[0].Err.Reason != autobus.ReasonLeaseUnknown {
		t.Errorf("a made-up lease: %v, %v", ss[0].Err, err)
	}
}

// write appends a record without CloudEvents headers, as somebody beside the bus does.
func write(t *testing.T, l *kafka.Log, topic, key string) {
	t.Helper()
	done := make(chan error, 1)
	if err := l.Append(&kafka.Append{TP: kafka.TP{Topic: topic},
		Records: []kafka.Record{{Key: []byte(key), Value: []byte(`{}`), Time: time.Now()}},
		Done:    func(_ int, _ int64, err error) { done <- err }}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
