// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// What may wait for the reader of an inbox that was resumed, before the feed waits for it, and how long that lasts.
const (
	maxResumedBytes = 8 << 20
	slowInbox       = 10 * time.Second
)

// feed reads one partition of the log of replies for all inboxes that are resumed there, with one Kafka client at a
// time. When an instance dies, thousands may be resumed at another within seconds, most of them for a moment. One that
// begins before the reader waits until this one is at the end, with all others that came meanwhile; then the reader
// begins anew before the first of them. Nobody is given anything twice: each knows how far it is.
type feed struct {
	replies *replies
	tp      kafka.TP
	cancel  context.CancelFunc
	ended   chan struct{}
	room    chan struct{} // one token: something was taken

	mu    sync.Mutex
	all   map[*resumed]struct{}
	next  int64              // offset that the reader reads next
	until int64              // before that it does not begin anew
	late  bool               // somebody begins before next
	again context.CancelFunc // ends a poll of the reader
}

// resumed is an inbox that is gone on with.
type resumed struct {
	id   inboxID
	end  int64         // of its partition when it was resumed; up to there its replies come before it is open
	wake chan struct{} // one token: there is something

	// Guarded by the feed's mutex.
	next  int64                // it has been given everything before that
	waits bool                 // for the next pass, because it begins before the reader
	queue [][]autobus.Delivery // others may have the same ones
	bytes int
	err   error
}

// resume goes on with an inbox that was opened before, here or elsewhere. Its partition may be another one than that of
// the inboxes here, and where it begins the others have been.
func (rs *replies) resume(ctx context.Context, who autobus.Principal, s autobus.Subscription, h autobus.Handler) error {
	sign, err := rs.sign(ctx, false)
	if err != nil {
		return err
	}
	at, bad := sign.own(s.Address, who.Name)
	if bad != nil {
		return bad
	}
	if _, err := rs.open(ctx); err != nil {
		return err
	}
	m := &resumed{id: at.nonce, wake: make(chan struct{}, 1)}
	tp := kafka.TP{Topic: repliesTopic, Partition: at.partition}
	if m.end, err = rs.end(ctx, tp); err != nil {
		return err
	}
	if m.next, err = rs.since(ctx, tp, s.From); err != nil {
		return err
	}
	f := rs.enter(ctx, tp, m)
	defer rs.leave(f, m)
	for opened := false; ; {
		taken, upTo, err := f.take(m)
		for _, ds := range taken {
			if over(ctx) {
				return nil
			}
			h(ctx, ds)
		}
		if over(ctx) {
			return nil
		}
		if !opened && upTo >= m.end {
			opened = true
			if s.Opened != nil {
				s.Opened(s.Address)
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		}
	}
}

// enter gives an inbox to the feed of its partition, which begins with the first.
func (rs *replies) enter(ctx context.Context, tp kafka.TP, m *resumed) *feed {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	f := rs.feeds[tp.Partition]
	if f == nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it ends when the last one leaves
		f = &feed{replies: rs, tp: tp, cancel: cancel, ended: make(chan struct{}), room: make(chan struct{}, 1),
			all: map[*resumed]struct{}{m: {}}, again: func() {}}
		rs.feeds[tp.Partition] = f
		go f.run(ctx)
		return f
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[m] = struct{}{}
	if m.next < f.next {
		m.waits, f.late = true, true
		if f.next >= f.until {
			f.again()
		}
	}
	return f
}

// leave takes an inbox out of its feed, which ends with the last.
func (rs *replies) leave(f *feed, m *resumed) {
	rs.mu.Lock()
	f.mu.Lock()
	delete(f.all, m)
	last := len(f.all) == 0
	f.mu.Unlock()
	if last && rs.feeds[f.tp.Partition] == f {
		delete(rs.feeds, f.tp.Partition)
	}
	rs.mu.Unlock()
	signal(f.room)
	if last {
		f.cancel()
		<-f.ended
	}
}

func (f *feed) run(ctx context.Context) {
	defer close(f.ended)
	for ctx.Err() == nil {
		if err := f.pass(ctx); err != nil && ctx.Err() == nil {
			f.fail(err)
			return
		}
	}
}

// pass reads until somebody wants to begin earlier.
func (f *feed) pass(ctx context.Context) error {
	ctx, again := context.WithCancel(ctx)
	defer again()
	reader, err := f.replies.bus.cfg.Log.Follow(map[kafka.TP]int64{f.tp: f.begin(again)})
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		records, err := reader.Poll(ctx)
		if f.hand(records) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		f.wait(ctx)
	}
}

// begin finds where the first of the inboxes begins.
func (f *feed) begin(again context.CancelFunc) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next, f.until, f.late, f.again = -1, 0, false, again
	for m := range f.all {
		m.waits = false
		if f.next < 0 || m.next < f.next {
			f.next = m.next
		}
		f.until = max(f.until, m.end)
	}
	f.next = max(f.next, 0)
	return f.next
}

// hand gives each reply to the inboxes that it is for and that do not have it. true = it is time to begin anew.
func (f *feed) hand(records []kafka.Record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	found, sizes := map[inboxID][]autobus.Delivery{}, map[inboxID]int{}
	for m := range f.all {
		found[m.id] = nil
	}
	for i := range records {
		r := &records[i]
		f.next = r.Offset + 1
		if id, ok := addressee(r); ok {
			if ds, wanted := found[id]; wanted {
				found[id] = append(ds, f.replies.delivery(r))
				sizes[id] += found[id][len(ds)].Size()
			}
		}
	}
	for m := range f.all {
		if m.waits {
			continue
		}
		ds := found[m.id]
		first, _ := slices.BinarySearchFunc(ds, m.next, func(d autobus.Delivery, at int64) int {
			return cmp.Compare(d.Offset, at)
		})
		opens := m.next < m.end && f.next >= m.end
		m.next = max(m.next, f.next)
		if first < len(ds) { // a thousand may wait for one of them each, so they are not copied
			m.queue, m.bytes = append(m.queue, ds[first:len(ds):len(ds)]), m.bytes+sizes[m.id]
		}
		if opens || first < len(ds) {
			signal(m.wake)
		}
	}
	return f.late && f.next >= f.until
}

// wait holds the reader up while somebody has much that he did not take. Others wait with him, so he has not long.
func (f *feed) wait(ctx context.Context) {
	if !f.full(false) {
		return
	}
	patience := time.NewTimer(f.replies.slow)
	defer patience.Stop()
	for f.full(false) {
		select {
		case <-f.room:
		case <-ctx.Done():
			return
		case <-patience.C:
			f.full(true)
			return
		}
	}
}

// full tells whether somebody has much that he did not take, and ends such inboxes.
func (f *feed) full(end bool) (is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for m := range f.all {
		if m.bytes <= maxResumedBytes || m.err != nil {
			continue
		}
		is = true
		if end {
			m.err = autobus.NewError(autobus.ReasonSlowConsumer, "%d bytes of replies wait for the reader", m.bytes)
			signal(m.wake)
		}
	}
	return is
}

// take gives an inbox what there is for it, and up to where that is all.
func (f *feed) take(m *resumed) (all [][]autobus.Delivery, upTo int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, m.queue, m.bytes = m.queue, nil, 0
	signal(f.room)
	return all, m.next, m.err
}

// fail ends all inboxes of the feed.
func (f *feed) fail(err error) {
	f.replies.mu.Lock()
	if f.replies.feeds[f.tp.Partition] == f {
		delete(f.replies.feeds, f.tp.Partition)
	}
	f.replies.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for m := range f.all {
		m.err = err
		signal(m.wake)
	}
}
