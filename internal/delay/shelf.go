// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

const (
	batchMost = 500                   // records that hop or are released together
	unsorted  = 4 * batchMost         // records that arrived and were not looked at yet
	heldMost  = 96 << 20              // bytes held of all that is due soon, shared by its partitions
	tierMost  = 256 << 10             // bytes held of a partition of a tier
	tries     = 10                    // of a release, a second apart; then the record is put off
	putOffBy  = 64*time.Second + lead // into the first tier
)

// shelf works on one partition for as long as this instance has it.
type shelf struct {
	membership *membership
	keeper     *Keeper
	tp         kafka.TP
	topic      [16]byte
	tier       tier

	ctx      context.Context //nolint:containedctx // of its work
	cancel   context.CancelFunc
	ending   chan struct{} // closed when it is to finish what is under way
	finish   func()
	ended    chan struct{}
	more     chan struct{} // a token: something arrived
	mu       sync.Mutex
	arrivals []kafka.Record
	full     bool // nothing more is to be read
	paused   bool

	marks     marks // of its goroutine alone, as all below
	held      queue // ordered by when it has to be acted on
	bytes     int
	committed int64
	metadata  string
	saved     int64
	savedAt   time.Time
}

func newShelf(m *membership, tp kafka.TP, topic [16]byte, at marks) *shelf {
	s := &shelf{membership: m, keeper: m.keeper, tp: tp, topic: topic, tier: m.keeper.cfg.tierOf(tp.Topic), marks: at,
		ending: make(chan struct{}), ended: make(chan struct{}), more: make(chan struct{}, 1), committed: at.base,
		metadata: at.encode(), saved: at.base, savedAt: time.Now()}
	s.ctx, s.cancel = context.WithCancel(m.life)
	s.finish = sync.OnceFunc(func() { close(s.ending) })
	return s
}

// take is called by the poller.
func (s *shelf) take(records []kafka.Record) {
	s.mu.Lock()
	s.arrivals = append(s.arrivals, records...)
	s.throttle()
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// throttle has the partition read on only while there is room for more. It is called with s.mu.
func (s *shelf) throttle() {
	stop := s.full || len(s.arrivals) > unsorted
	switch {
	case stop && !s.paused:
		s.membership.member.Pause(s.tp)
	case !stop && s.paused:
		s.membership.member.Resume(s.tp)
	}
	s.paused = stop
}

// run works until the partition goes.
func (s *shelf) run() {
	defer close(s.ended)
	defer s.cancel()
	defer func() { s.keeper.metrics.near.Sub(float64(s.near())) }()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.ending:
			s.commit()
			return
		default:
		}
		s.arrive()
		batch := s.due(time.Now())
		if len(batch) > 0 {
			s.act(batch)
			s.commit()
			continue
		}
		timer := time.NewTimer(s.wait(time.Now()))
		select {
		case <-s.ctx.Done():
		case <-s.ending:
		case <-s.more:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// arrive takes over what was read.
func (s *shelf) arrive() {
	s.mu.Lock()
	records := s.arrivals
	s.arrivals = nil
	s.mu.Unlock()
	defer s.makeRoom()
	before := s.near()
	for i := range records {
		r := &records[i]
		s.marks.read(r.Offset)
		if s.marks.has(r.Offset) {
			continue
		}
		e, ours, err := parse(r)
		switch {
		case r.Marker:
			s.marks.set(r.Offset)
			continue
		case err != nil: // it waits for a newer build, in the log
			s.keeper.cfg.Logger.Error("a delayed event stays delayed", "error", err)
		case !ours:
			s.keeper.cfg.Logger.Warn("a record among the delayed events is somebody else's", "topic", r.Topic, "partition",
				r.Partition, "offset", r.Offset)
			s.marks.set(r.Offset)
			continue
		}
		if s.tier.hold == 0 { // the others of its fetch may leave long before
			own := r.Clone()
			r = &own
			if err == nil {
				e, _, _ = parse(r)
			}
		}
		h := &held{Entry: e, raw: r, readable: err == nil, at: r.Time.Add(s.tier.hold)}
		if s.tier.hold == 0 && h.readable {
			h.at = e.Due
		}
		heap.Push(&s.held, h)
		s.bytes += r.Size()
	}
	s.marks.settle()
	s.keeper.metrics.near.Add(float64(s.near() - before))
}

// near is how many records it holds that are due soon.
func (s *shelf) near() int {
	if s.tier.hold > 0 {
		return 0
	}
	return s.held.Len()
}

// due takes out what is to be acted on now.
func (s *shelf) due(now time.Time) (batch []*held) {
	if s.tier.hold > 0 && s.held.Len() > 0 && s.held[0].at.After(now) {
		return nil
	}
	for s.held.Len() > 0 && len(batch) < batchMost && !s.held[0].at.After(now) {
		batch = append(batch, heap.Pop(&s.held).(*held)) //nolint:forcetypeassert // there is nothing else in it
	}
	if len(batch) == 0 {
		batch = s.crowd()
	}
	return batch
}

// crowd takes out the oldest records when the partition has nearly as many under way as a commit can tell of: they go
// to its end, so that the first undone one is another.
func (s *shelf) crowd() (batch []*held) {
	if s.tier.hold > 0 || s.marks.span() < maxSpan/2 {
		return nil
	}
	upTo, soon := s.marks.base+maxSpan/8, time.Now().Add(again)
	rest := make(queue, 0, s.held.Len())
	for _, h := range s.held {
		if h.raw.Offset < upTo && h.at.After(soon) && len(batch) < batchMost {
			batch = append(batch, h)
		} else {
			rest = append(rest, h)
		}
	}
	heap.Init(&rest)
	s.held = rest
	return batch
}

// wait is how long there is nothing to act on.
func (s *shelf) wait(now time.Time) time.Duration {
	if s.held.Len() == 0 {
		return time.Hour
	}
	return max(0, s.held[0].at.Sub(now))
}

// act does with records what is to be done now, and marks those of which it is done.
func (s *shelf) act(batch []*held) {
	now := time.Now()
	var due, hop []*held
	for _, h := range batch {
		if h.readable && !h.Due.After(now) && s.tier.hold == 0 && h.tries < tries {
			due = append(due, h)
		} else {
			hop = append(hop, h)
		}
	}
	s.release(due)
	s.hop(hop)
	s.marks.settle()
}

func (s *shelf) release(batch []*held) {
	if len(batch) == 0 {
		return
	}
	entries := make([]Entry, len(batch))
	for i, h := range batch {
		entries[i] = h.Entry
	}
	errs := s.keeper.cfg.Release(s.ctx, entries)
	now := time.Now()
	for i, h := range batch {
		if errs[i] != nil {
			h.tries++
			s.back(h, now.Add(again))
			continue
		}
		s.keeper.metrics.released.Inc()
		s.keeper.metrics.late.Observe(now.Sub(h.Due).Seconds())
		s.done(h)
	}
}

// hop appends records to where they wait next.
func (s *shelf) hop(batch []*held) {
	if len(batch) == 0 || s.keeper.topics.Load() == nil {
		for _, h := range batch { // the topics are being made again
			s.back(h, time.Now().Add(again))
		}
		return
	}
	now := time.Now()
	records := make([]kafka.Record, len(batch))
	for i, h := range batch {
		left := h.Due.Sub(now)
		if h.tries >= tries || !h.readable {
			left = putOffBy
			s.keeper.metrics.putOff.Inc()
		}
		records[i] = kafka.Record{Time: now, Key: h.raw.Key, Value: h.raw.Value, Headers: h.raw.Headers}
		records[i].TP = s.keeper.place(h.ID, left)
	}
	told := false
	for i, err := range forAll(s.ctx, s.keeper.cfg.Log, records) {
		h := batch[i]
		if err == nil {
			s.keeper.metrics.hops.Inc()
			s.done(h)
			continue
		}
		if kafka.Gone(err) && !told {
			s.keeper.Mend(records[i].Topic)
		}
		if !told && s.ctx.Err() == nil && !passing(err) {
			told = true
			s.keeper.cfg.Logger.Warn("move delayed events", "to", records[i].Topic, "error", err)
		}
		s.back(h, now.Add(again))
	}
}

// back keeps a record for another try.
func (s *shelf) back(h *held, at time.Time) {
	h.at = at
	heap.Push(&s.held, h)
}

func (s *shelf) done(h *held) {
	s.bytes -= h.raw.Size()
	s.marks.set(h.raw.Offset)
	if s.tier.hold == 0 {
		s.keeper.metrics.near.Dec()
	}
}

// commit stores where the partition stands, if that changed.
func (s *shelf) commit() {
	metadata := s.marks.encode()
	if s.marks.base == s.committed && metadata == s.metadata {
		return
	}
	err := s.membership.member.Commit(s.ctx, map[kafka.TP]kafka.Commit{s.tp: {Offset: s.marks.base, Metadata: metadata}})
	switch {
	case errors.Is(err, kafka.ErrFenced) || s.ctx.Err() != nil: // the partition is somebody else's
		return
	case err != nil:
		s.keeper.cfg.Logger.Warn("commit a position among the delayed events", "topic", s.tp.Topic, "partition",
			s.tp.Partition, "error", err)
		return
	}
	s.committed, s.metadata = s.marks.base, metadata
	if now := time.Now(); s.saved != s.committed && now.Sub(s.savedAt) > savedEvery {
		s.savedAt = now
		if err := s.keeper.cfg.Save(s.ctx, s.tp, s.topic, s.committed); err == nil {
			s.saved = s.committed
		}
	}
}

// makeRoom judges whether more is to be read. Of a tier some records behind its head do, so that they are there when
// their time comes too; of what is due soon all that fits, because the next record may be due at once.
func (s *shelf) makeRoom() {
	full := s.held.Len() >= batchMost || s.bytes >= tierMost
	if s.tier.hold == 0 {
		full = s.marks.span() >= maxSpan || s.bytes >= heldMost/int(s.keeper.partitions(s.tp.Topic))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
	s.throttle()
}

func (k *Keeper) partitions(topic string) int32 {
	if t := k.topics.Load(); t != nil {
		return t.partitions[topic]
	}
	return k.cfg.Partitions
}
