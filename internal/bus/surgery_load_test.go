// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// watcher acks all that a worker gets and notes what counted.
type watcher struct {
	mu     sync.Mutex
	last   map[string]autobus.Delivery  // by incarnation and key
	counts map[int32]map[uint32][]int64 // acked offsets by partition and incarnation
	total  int                          // of acks that counted
	grown  chan struct{}                // closed and replaced with each
	faults map[string]autobus.Delivery  // out of order
}

func newWatcher() *watcher {
	return &watcher{last: map[string]autobus.Delivery{}, counts: map[int32]map[uint32][]int64{},
		grown: make(chan struct{}), faults: map[string]autobus.Delivery{}}
}

// watch lets a session of f go on until the test ends.
func (o *watcher) watch(t *testing.T, f *fixture, name string) {
	w := f.worker(t, autobus.Subscription{Name: name, Window: &autobus.Window{Events: 20}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case d := <-w.got:
				o.take(f, d)
			case <-w.ended:
				return
			}
		}
	}()
	t.Cleanup(func() { w.cancel(nil); <-done })
}

func (o *watcher) take(f *fixture, d autobus.Delivery) {
	incarnation := uint32(d.Fence >> 32)
	o.mu.Lock()
	of := fmt.Sprintf("%d/%d/%s", d.Partition, incarnation, d.Key)
	if before, ok := o.last[of]; ok && (d.Offset <= before.Offset || d.Fence <= before.Fence) {
		o.faults[fmt.Sprintf("%s after %d", of, before.Offset)] = d
	}
	o.last[of] = d
	o.mu.Unlock()
	s := []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}}
	if err := f.Settle(f.ctx, s); err != nil || s[0].Err != nil {
		return // it was moved meanwhile
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.counts[d.Partition] == nil {
		o.counts[d.Partition] = map[uint32][]int64{}
	}
	o.counts[d.Partition][incarnation] = append(o.counts[d.Partition][incarnation], d.Offset)
	o.total++
	close(o.grown)
	o.grown = make(chan struct{})
}

// more waits until n more acks counted.
func (o *watcher) more(t *testing.T, n int) {
	t.Helper()
	limit := time.After(patience)
	for want := -1; ; {
		o.mu.Lock()
		grown := o.grown
		if want < 0 {
			want = o.total + n
		}
		enough := o.total >= want
		o.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-grown:
		case <-limit:
			t.Fatalf("%d more did not come", n)
		}
	}
}

// newest gives the highest incarnation of each partition that something was acked in.
func (o *watcher) newest() map[int32]uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[int32]uint32{}
	for p, by := range o.counts {
		for incarnation := range maps.Keys(by) {
			out[p] = max(out[p], incarnation)
		}
	}
	return out
}

// once fails unless every offset of the partitions was acked just once in the incarnations above.
func (o *watcher) once(t *testing.T, above map[int32]uint32, ends map[int32]int64) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, end := range ends {
		n := map[int64]int{}
		for incarnation, offsets := range o.counts[p] {
			if incarnation > above[p] {
				for _, offset := range offsets {
					n[offset]++
				}
			}
		}
		for offset := range end {
			if n[offset] != 1 {
				t.Errorf("offset %d of partition %d was done %d times", offset, p, n[offset])
			}
		}
	}
	for of, d := range o.faults {
		t.Errorf("%s: %d came", of, d.Offset)
	}
}

// Two instances work while somebody publishes and somebody else operates: within an epoch nothing is lost, nothing
// comes twice, keys keep their order, and another subscription does not notice.
func TestSurgeryUnderLoad(t *testing.T) {
	f := open(t)
	b, stop := f.another(t)
	t.Cleanup(func() { stop(true) })
	f.put(t, "shop", earliest)
	f.put(t, "other", earliest)
	shop, other := newWatcher(), newWatcher()
	shop.watch(t, f, "shop")
	shop.watch(t, b, "shop")
	other.watch(t, f, "other")
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	load := make(chan struct{})
	published := make(chan struct{})
	go func() {
		defer close(published)
		for {
			select {
			case <-load:
				return
			case <-time.After(20 * time.Millisecond):
				batch := &autobus.Batch{}
				for i := range 40 {
					batch.Events = append(batch.Events, order(keys[i%len(keys)], "1"))
				}
				if err := f.Publish(f.ctx, batch); err != nil {
					t.Error(err)
					return
				}
				batch.Wait(f.ctx)
			}
		}
	}()
	until(t, "the other instance got no partitions", func() bool {
		i, err := b.Describe(b.ctx, "shop")
		return err == nil && i.Instance != nil && len(i.Instance.Partitions) == 2
	})
	shop.more(t, 200)
	for range 3 {
		f.pause(t, "shop")
		b.heard(t)
		other.more(t, 100)
		b.resume(t, "shop")
		shop.more(t, 300)
	}
	ends := func() map[int32]int64 {
		at, err := f.log.Ends(t.Context(), orders)
		if err != nil {
			t.Fatal(err)
		}
		out := map[int32]int64{}
		for tp, end := range at {
			out[tp.Partition] = end
		}
		return out
	}
	for i := range 4 {
		to := autobus.Start{}
		switch i {
		case 1:
			to.Earliest = true
		case 2:
			to.Time = time.Now().Add(-time.Second)
		case 3:
			to.Cursors = map[string]map[int32]int64{orders: {}}
			for p, end := range ends() {
				to.Cursors[orders][p] = end / 2
			}
		}
		[]*fixture{f, b}[i%2].seek(t, "shop", to)
		shop.more(t, 200)
	}
	// The last move is made in a pause, so that what counts after it is known.
	f.pause(t, "shop")
	b.heard(t)
	until(t, "what is in hand is not settled", func() bool { return f.leased(t, "shop")+b.leased(t, "shop") == 0 })
	before := shop.newest()
	f.seek(t, "shop", autobus.Start{Earliest: true})
	b.heard(t)
	b.resume(t, "shop")
	shop.more(t, 500)
	close(load)
	<-published
	for _, name := range []string{"shop", "other"} {
		f.undone(t, name, 0)
	}
	shop.once(t, before, ends())
	other.once(t, nil, ends())
}

// leased counts what is with workers of an instance.
func (f *fixture) leased(t *testing.T, name string) int {
	t.Helper()
	i, err := f.Describe(f.ctx, name)
	if err != nil || i.Instance == nil {
		t.Fatal(i, err)
	}
	return i.Instance.Leased
}
