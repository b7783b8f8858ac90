// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

// since is the time of the log before which everything stands that was written until now.
func (f *fixture) since(t *testing.T) time.Time {
	t.Helper()
	now := time.Now()
	until(t, "the clock stands", func() bool { return time.Now().UnixMilli() > now.UnixMilli() })
	return time.Now()
}

func (f *fixture) replay(t *testing.T, name string, s bus.Slice) bus.Replayed {
	t.Helper()
	r, err := f.ReplayEvents(f.ctx, name, s, byOps)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (f *fixture) replayDone(t *testing.T, name string) {
	t.Helper()
	var got []bus.ReplayInfo
	until(t, "the replay does not end", func() bool {
		i, err := f.Describe(f.ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		got = i.Replays
		return len(got) == 1 && got[0].State == "done" && got[0].Done == got[0].Total
	})
}

// An event of a replay that has no attempts left is a dead letter also where others wait for an operator: in the main
// flow it is done, so that he could neither skip it nor have it tried again.
func TestExhaustedEventsOfAReplayAreDeadLetters(t *testing.T) {
	for _, how := range []autobus.OnExhausted{autobus.Hold, autobus.Stop} {
		t.Run(string(how), func(t *testing.T) {
			f := open(t)
			p := earliest
			p.OnExhausted = how
			f.put(t, "shop", p)
			w := f.worker(t, autobus.Subscription{Name: "shop"})
			from := f.since(t)
			f.orders(t, 2, "a")
			to := f.since(t)
			w.ackAll(t, 2)
			f.undone(t, "shop", 0)
			f.replay(t, "shop", bus.Slice{From: from, To: to})
			w.settle(t, w.next(t), reject)
			w.ack(t, w.next(t)) // the next one of its key
			f.replayDone(t, "shop")
			f.await(t, "dlq.shop", 1)
			if i, err := f.Describe(f.ctx, "shop"); err != nil || i.State != "active" {
				t.Errorf("%+v, %v", i, err)
			}
		})
	}
}

func TestAReplayComesOnceMoreToOneSubscription(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.put(t, "other", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	o := f.worker(t, autobus.Subscription{Name: "other"})
	keys := []string{"a", "b", "c", "d", "e"}
	f.orders(t, 10, keys...)
	from := f.since(t)
	f.orders(t, 20, keys...)
	to := f.since(t)
	f.orders(t, 10, keys...)
	first := w.ackAll(t, 40)
	o.ackAll(t, 40)
	f.undone(t, "shop", 0)
	before, err := f.Lag(f.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	r := f.replay(t, "shop", bus.Slice{From: from, To: to})
	if r.Replayed != 20 || r.Skipped != 0 || r.ID == "" {
		t.Errorf("%+v", r)
	}
	f.orders(t, 5, keys...) // what is published goes on
	seen := map[string][]string{}
	fresh := 0
	for range 25 {
		d := w.next(t)
		place := fmt.Sprintf("%d/%d", d.Partition, d.Offset)
		if i := slices.Index(first[string(d.Key)], place); i >= 0 {
			seen[string(d.Key)] = append(seen[string(d.Key)], place)
		} else {
			fresh++
		}
		w.ack(t, d)
	}
	for _, k := range keys {
		if want := first[k][2:6]; !slices.Equal(seen[k], want) {
			t.Errorf("key %s came as %v, want %v", k, seen[k], want)
		}
	}
	if fresh != 5 {
		t.Errorf("%d new ones came", fresh)
	}
	f.replayDone(t, "shop")
	o.ackAll(t, 5)
	if len(w.got)+len(o.got) > 0 {
		t.Errorf("%d and %d came besides", len(w.got), len(o.got))
	}
	f.undone(t, "shop", 0)
	after, err := f.Lag(f.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range after.Partitions {
		if p.Position < before.Partitions[i].Position {
			t.Errorf("partition %d moved back from %d to %d", i, before.Partitions[i].Position, p.Position)
		}
	}

	// By key, and with what is over gone from the record.
	key := "b"
	f.replay(t, "shop", bus.Slice{From: from, To: to, Key: &key})
	if got := w.ackAll(t, 4); !slices.Equal(got["b"], first["b"][2:6]) {
		t.Errorf("%v came", got)
	}
	f.replayDone(t, "shop")
	for what, s := range map[autobus.Reason]bus.Slice{
		autobus.ReasonPositionInvalid: {From: to, To: from},
		autobus.ReasonRequestInvalid:  {From: from},
	} {
		if _, err := f.ReplayEvents(f.ctx, "shop", s, byOps); reasonOf(err) != what {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []bus.Slice{{From: from, To: time.Now().Add(time.Hour)}, {From: from.Add(-time.Hour),
		To: from.Add(-time.Minute)}} {
		if _, err := f.ReplayEvents(f.ctx, "shop", s, byOps); reasonOf(err) != autobus.ReasonPositionInvalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// Of a key that the main flow and a replay have, one event at a time is with workers, and fences grow over both.
func TestAReplayTakesTurnsWithTheMainFlow(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	from := f.since(t)
	f.orders(t, 5, "a")
	to := f.since(t)
	w.ackAll(t, 5)
	f.orders(t, 5, "a")
	inHand := w.next(t)
	fence := inHand.Fence
	f.replay(t, "shop", bus.Slice{From: from, To: to})
	f.orders(t, 1, "free")
	if d := w.next(t); string(d.Key) != "free" { // so what is replayed had its chance
		t.Fatalf("%+v came while its key is with a worker", d)
	} else {
		w.ack(t, d)
	}
	until(t, "the replay was not read", func() bool {
		i, err := f.Describe(f.ctx, "shop")
		return err == nil && i.Instance.Waiting == 9
	})
	w.ack(t, inHand)
	last := map[bool]int64{true: -1, false: -1}
	for range 9 {
		d := w.next(t)
		if len(w.got) > 0 {
			t.Fatal("two of a key came")
		}
		replayed := d.Offset < inHand.Offset
		if d.Offset <= last[replayed] || d.Fence <= fence {
			t.Errorf("%d came after %d, with fence %d after %d", d.Offset, last[replayed], d.Fence, fence)
		}
		last[replayed], fence = d.Offset, d.Fence
		w.ack(t, d)
	}
	f.replayDone(t, "shop")
}

// A replay goes on at the next owner, with what is parked of it.
func TestAReplaySurvivesItsInstance(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.SetLinger(time.Millisecond)
	b, stop := f.another(t)
	b.SetMemory(time.Millisecond)
	w := b.worker(t, autobus.Subscription{Name: "shop"})
	from := f.since(t)
	f.orders(t, 30, "a", "b", "c")
	to := f.since(t)
	w.ackAll(t, 30)
	b.undone(t, "shop", 0)
	f.replay(t, "shop", bus.Slice{From: from, To: to})
	got := map[string][]int64{}
	take := func(d autobus.Delivery) { got[string(d.Key)] = append(got[string(d.Key)], d.Offset) }
	parkedKey := ""
	for range 9 {
		d := w.next(t)
		if parkedKey == "" {
			parkedKey = string(d.Key)
			w.settle(t, d, again(time.Second))
			continue
		}
		take(d)
		w.ack(t, d)
	}
	until(t, "the key was not parked", func() bool { p, _ := b.parked(t, "shop"); return p == 10 })
	w.cancel(nil)
	stop(true)
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	for range 22 {
		d := w.next(t)
		take(d)
		w.ack(t, d)
	}
	for key, offsets := range got {
		if len(offsets) != 10 || !slices.IsSorted(offsets) {
			t.Errorf("key %s came as %v", key, offsets)
		}
	}
	f.replayDone(t, "shop")
	if len(w.got) > 0 {
		t.Errorf("%d came besides", len(w.got))
	}
}

func TestAReplayIsCancelled(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	from := f.since(t)
	f.orders(t, 10, "a", "b")
	to := f.since(t)
	w.ackAll(t, 10)
	r := f.replay(t, "shop", bus.Slice{From: from, To: to})
	d := w.next(t)
	if _, err := f.CancelReplay(f.ctx, "shop", "1"+r.ID, byOps); reasonOf(err) != autobus.ReasonRequestInvalid {
		t.Errorf("one that is not there: %v", err)
	}
	i, err := f.CancelReplay(f.ctx, "shop", r.ID, byOps)
	if err != nil || len(i.Replays) > 0 {
		t.Fatal(i.Replays, err)
	}
	if err := f.settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err == nil ||
		err.Reason != autobus.ReasonLeaseStale {
		t.Errorf("its lease counts: %v", err)
	}
	f.orders(t, 1, "z")
	if d := w.next(t); string(d.Key) != "z" {
		t.Errorf("%+v came", d)
	}
}

// What retention deleted cannot be replayed, and is not passed over in silence.
func TestAnExpiredRangeIsRefused(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	from := f.since(t)
	f.orders(t, 5, "a")
	f.since(t)
	f.orders(t, 5, "a")
	to := f.since(t)
	last := f.one(t, order("a", "1"))
	c, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var o kadm.Offsets
	o.AddOffset(orders, last.Partition, 5, -1)
	if _, err := kadm.NewClient(c).DeleteRecords(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	_, err = f.ReplayEvents(f.ctx, "shop", bus.Slice{From: from, To: to}, byOps)
	if reasonOf(err) != autobus.ReasonRangeExpired {
		t.Fatalf("a range that is gone in part: %v", err)
	}
	hint := autobus.AsError(err).Hint
	if _, err := f.Seek(f.ctx, "shop", autobus.Start{Cursors: map[string]map[int32]int64{orders: {last.Partition: 4}}},
		byOps); reasonOf(err) != autobus.ReasonPositionInvalid {
		t.Errorf("a place that is gone: %v", err)
	}
	hint = strings.TrimSuffix(strings.TrimPrefix(hint, "Begin there: --from "), ".")
	first, err := time.Parse(time.RFC3339Nano, hint)
	if err != nil {
		t.Fatal(err)
	}
	if r := f.replay(t, "shop", bus.Slice{From: first, To: to}); r.Replayed != 5 {
		t.Errorf("%+v", r)
	}
	// Retention overtook the subscription itself too; where it goes on is the operator's choice.
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	until(t, "the partition does not stand", func() bool {
		i, err := f.Describe(f.ctx, "shop")
		return err == nil && i.Instance != nil && slices.ContainsFunc(i.Instance.Partitions,
			func(p bus.InstancePartition) bool { return p.Lost })
	})
	f.seek(t, "shop", autobus.Start{Earliest: true})
	w.ackAll(t, 6+5)
	f.undone(t, "shop", 0)
	f.replayDone(t, "shop")
}

// Who was expelled and does not know it must not store how far a replay is: what it parked since then does not count,
// and whoever has the partition next would leave it out.
func TestAnExpelledOwnerStoresNothingOfAReplay(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := openOn(t, c.ListenAddrs()[0])
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	from := f.since(t)
	f.orders(t, 6, "a")
	to := f.since(t)
	w.ackAll(t, 6)
	f.undone(t, "shop", 0)
	r := f.replay(t, "shop", bus.Slice{From: from, To: to})
	d := w.next(t)
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.IllegalGeneration, Count: -1})
	w.ack(t, d)
	epoch, err := strconv.ParseUint(r.ID, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "nothing was committed nor stored", func() bool {
		at, err := f.state.Progress("shop", uint32(epoch), orders, d.Partition)
		if err != nil {
			t.Fatal(err)
		}
		if at.Offset > 0 || at.Metadata != "" {
			t.Fatalf("%+v is stored of the replay, though the owner was expelled", at)
		}
		return fault.Hits() > 0
	})
	fault.Remove()
	w.ackAll(t, 5)
	f.replayDone(t, "shop")
}
