// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// tail checks that events come out as they went in.
func (s *suite) tail(t *testing.T) {
	t.Run("Earliest", func(t *testing.T) {
		key := s.unique("key")
		var sent []autobus.Event
		for range 20 {
			e := s.event(s.types.Keyed, key)
			e.Subject, e.Source = "tail", "/tail"
			e.Time = time.Now().UTC().Truncate(time.Microsecond)
			e.SetExt("country", "kz")
			sent = append(sent, e)
		}
		written(t, s.publish(t, sent...))
		in := s.open(t, autobus.Subscription{Tail: []string{s.types.Keyed}, From: autobus.Start{Earliest: true}})
		for _, want := range sent { // one key: they come in order
			got := in.next(t, func(d autobus.Delivery) bool { return string(d.Key) == key })
			country, _ := got.Ext("country")
			if got.ID != want.ID || got.Type != want.Type || got.Source != want.Source || got.Subject != "tail" ||
				!got.Time.Equal(want.Time) || country != "kz" || !bytes.Equal(got.Data, want.Data) ||
				got.Unspecified || got.Lease != "" {
				t.Errorf("sent %+v, got %+v", want, got)
			}
		}
	})

	t.Run("Latest", func(t *testing.T) {
		before := s.event(s.types.Keyed, s.unique("key"))
		written(t, s.publish(t, before))
		in := s.open(t, autobus.Subscription{Tail: []string{s.types.Keyed}})
		after := s.event(s.types.Keyed, s.unique("key"))
		written(t, s.publish(t, after))
		if got := in.next(t, func(d autobus.Delivery) bool { return true }); got.ID != after.ID {
			t.Errorf("the first delivery is %s, want %s, sent after the tail opened", got.ID, after.ID)
		}
	})

	t.Run("Time", func(t *testing.T) {
		key := s.unique("key")
		early, late := s.event(s.types.Keyed, key), s.event(s.types.Keyed, key)
		rs := s.publish(t, early)
		written(t, rs)
		at := s.one(t, early, rs[0]).Time
		Eventually(t, "the clock to move on", func(context.Context) bool {
			return time.Since(at) > 20*time.Millisecond
		})
		written(t, s.publish(t, late))
		from := autobus.Start{Time: at.Add(time.Millisecond), Earliest: true}
		in := s.open(t, autobus.Subscription{Tail: []string{s.types.Keyed}, From: from})
		if got := in.next(t, func(d autobus.Delivery) bool { return string(d.Key) == key }); got.ID != late.ID {
			t.Errorf("the first delivery of the key is %s, want %s, written after that time", got.ID, late.ID)
		}
	})

	t.Run("Pattern", func(t *testing.T) {
		domain, _, _ := strings.Cut(s.types.Keyed, ".")
		in := s.open(t, autobus.Subscription{Tail: []string{domain + ".*.placed.v1"}})
		keyless, keyed, sarama := s.event(s.types.Keyless, ""), s.event(s.types.Keyed, s.unique("key")),
			s.event(s.types.Sarama, s.unique("key"))
		written(t, s.publish(t, keyless, keyed, sarama))
		got := []string{in.next(t, nil).ID, in.next(t, nil).ID}
		slices.Sort(got)
		want := []string{keyed.ID, sarama.ID}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})

	t.Run("Filter", s.filter)
	t.Run("Foreign", s.foreign)
}

func (s *suite) filter(t *testing.T) {
	if lacks(t, s.features.NoFilter) {
		return
	}
	key := s.unique("key")
	in := s.open(t, autobus.Subscription{Tail: []string{s.types.Keyed},
		Filter: fmt.Sprintf("data.order == %q && data.n >= 3", key)})
	var wanted autobus.Event
	for n := range 4 {
		wanted = s.event(s.types.Keyed, key)
		wanted.Data = fmt.Appendf(nil, `{"order":%q,"n":%d}`, key, n)
		written(t, s.publish(t, wanted, s.event(s.types.Keyed, s.unique("key"))))
	}
	if got := in.next(t, nil); got.ID != wanted.ID {
		t.Errorf("the filter let %s (%s) pass, want %s", got.ID, got.Data, wanted.Data)
	}
	bus, ctx := s.bus(t.Context(), t, everything)
	err := bus.Subscribe(ctx, autobus.Subscription{Tail: []string{s.types.Keyed}, Filter: "data.n +"},
		func(context.Context, []autobus.Delivery) {})
	if e := autobus.AsError(err); e == nil || e.Reason != autobus.ReasonFilterInvalid {
		t.Errorf("a filter that is no CEL: got %v, want %s", err, autobus.ReasonFilterInvalid)
	}
}

// foreign writes records past the bus. A tail delivers and marks them, and goes on.
func (s *suite) foreign(t *testing.T) {
	if lacks(t, s.features.NoLog) {
		return
	}
	in := s.open(t, autobus.Subscription{Tail: []string{s.types.Keyed}})
	tp := kafka.TP{Topic: s.types.Keyed, Partition: 1}
	records := []kafka.Record{
		{Key: []byte("someone"), Value: []byte(`{"any":"thing"}`), Time: time.Now()},
		{Key: nil, Value: []byte("\xff\x00 not json"), Time: time.Now()},
		{Key: []byte("gone"), Value: nil, Time: time.Now()},
		{Value: []byte(`{}`), Time: time.Now(), Headers: []kafka.Header{{Key: "ce_id", Value: []byte("\xff")},
			{Key: "ce_\xff", Value: nil}, {Key: "", Value: []byte("x")}}},
	}
	offsets := make([]int64, len(records))
	done := make(chan error, len(records))
	if err := s.target.Log.Append(&kafka.Append{TP: tp, Records: records,
		Done: func(i int, offset int64, err error) {
			offsets[i] = offset
			done <- err
		}}); err != nil {
		t.Fatal(err)
	}
	for range records {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range records {
		got := in.next(t, nil)
		id := fmt.Sprintf("%s:%d:%d", tp.Topic, tp.Partition, offsets[i])
		if !got.Unspecified || got.ID != id || got.Offset != offsets[i] || got.Partition != tp.Partition {
			t.Errorf("record %d: got %q at %d/%d, unspecified %v, want %q", i, got.ID, got.Partition, got.Offset,
				got.Unspecified, id)
		}
		if !bytes.Equal(got.Data, want.Value) {
			t.Errorf("record %d: value %q came out as %q", i, want.Value, got.Data)
		}
	}
	e := s.event(s.types.Keyed, s.unique("key"))
	written(t, s.publish(t, e))
	if got := in.next(t, nil); got.ID != e.ID || got.Unspecified {
		t.Errorf("after the foreign records: got %s, unspecified %v, want %s", got.ID, got.Unspecified, e.ID)
	}
}

// incoming is an open tail.
type incoming struct {
	deliveries chan autobus.Delivery
	ended      chan error
}

// open subscribes and returns when deliveries can come. The subscription ends with the test.
func (s *suite) open(t *testing.T, sub autobus.Subscription) *incoming {
	t.Helper()
	in := &incoming{deliveries: make(chan autobus.Delivery), ended: make(chan error, 1)}
	bus, ctx := s.bus(context.Background(), t, everything)
	ctx, stop := context.WithCancel(ctx)
	opened := make(chan struct{})
	sub.Opened = func(autobus.Address) { close(opened) }
	go func() {
		in.ended <- bus.Subscribe(ctx, sub, func(ctx context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				d.Data, d.Key = bytes.Clone(d.Data), bytes.Clone(d.Key)
				select {
				case in.deliveries <- d:
				case <-ctx.Done():
					return
				}
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-in.ended:
			if err != nil {
				t.Errorf("the subscription ended with %v, want nil at the end of its context", err)
			}
		case <-time.After(Patience):
			t.Error("the subscription goes on after the end of its context")
		}
	})
	select {
	case <-opened:
	case err := <-in.ended:
		in.ended <- nil
		t.Fatalf("subscribe: %v", err)
	case <-time.After(Patience):
		t.Fatal("the subscription does not open")
	}
	return in
}

// next returns the next delivery that is wanted (nil = any).
func (in *incoming) next(t *testing.T, wanted func(autobus.Delivery) bool) autobus.Delivery {
	t.Helper()
	timeout := time.After(Patience)
	for {
		select {
		case d := <-in.deliveries:
			if wanted == nil || wanted(d) {
				return d
			}
		case err := <-in.ended:
			in.ended <- nil
			t.Fatalf("the subscription ended: %v", err)
		case <-timeout:
			t.Fatalf("no delivery within %s", Patience)
		}
	}
}
