// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/delay"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/quota"
	"github.com/autobus-io/autobus/spec"
)

// Publish implements autobus.Bus.
func (b *Bus) Publish(ctx context.Context, batch *autobus.Batch) error {
	if err := b.accept(batch); err != nil {
		return err
	}
	if err := batch.Open(); err != nil {
		return err
	}
	who, known := autobus.PrincipalOf(ctx)
	now := time.Now().UTC()
	p := b.newPublish(batch, who, now)
	p.quota = b.cfg.Quotas.Of(who.Name)
	for i := range batch.Events {
		if err := p.prepare(ctx, known, i); err != nil {
			p.refuse(i, err)
		}
	}
	p.append()
	p.pace(ctx)
	return nil
}

// mostPause is the longest pause of a publish beyond a quota.
const mostPause = 100 * time.Millisecond

// pace returns after about the time in which the quota would let pass what it refused, at most mostPause; what was
// accepted is under way meanwhile. Edges read nothing more from that connection until then, so that a client which goes
// on at full speed beyond its quota costs others little. Kafka mutes the channels of such clients likewise.
func (p *publish) pace(ctx context.Context) {
	if p.over == 0 {
		return
	}
	timer := time.NewTimer(min(p.over, mostPause))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (b *Bus) newPublish(batch *autobus.Batch, who autobus.Principal, now time.Time) *publish {
	p := &publish{bus: b, batch: batch, who: who, stamper: stamper{now: now, events: len(batch.Events)}, turn: newTurn()}
	p.joined, p.joinedScheduled = p.settle, p.settleScheduled
	return p
}

// accept refuses batches that are not looked at at all.
func (b *Bus) accept(batch *autobus.Batch) error {
	switch {
	case b.draining.Load():
		return autobus.NewError(autobus.ReasonShuttingDown, "this instance takes no more events")
	case batch.Mode != autobus.Independent && batch.Mode != autobus.Ordered:
		return autobus.NewError(autobus.ReasonModeInvalid, "there is no mode %d", batch.Mode)
	case len(batch.Events) > autobus.MaxBatchEvents:
		return autobus.NewError(autobus.ReasonBatchTooLarge, "%d events, at most %d", len(batch.Events),
			autobus.MaxBatchEvents)
	}
	return nil
}

// publish is one call of Publish on its way.
type publish struct {
	bus   *Bus
	batch *autobus.Batch
	who   autobus.Principal
	quota *quota.Account
	over  time.Duration // the sum of what the quota told refused events to wait
	stamper
	parts  []*part
	turn   turn
	joined func(i int, rc autobus.Receipt) // settle, as one value for all
	fresh  error                           // of the one read barrier of this call
	asked  bool

	responders map[int][]string // of the requests among the events, by index

	scheduled []called // of the events to be published later, by index; nil = there is none

	joinedScheduled func(i int, rc autobus.Receipt) // settleScheduled, likewise
	release         bool                            // of what was scheduled and is due: it was counted when it came
}

// part is what goes to one partition: events that nothing speaks against.
type part struct {
	tp      kafka.TP
	records []kafka.Record
	items   []item // of the same indexes
}

type item struct {
	index int // in the batch
	route *route
	claim claimed   // on its id in the table of duplicates
	hint  string    // goes with the receipt
	to    *address  // of a reply; nil = the route says where it goes
	at    time.Time // when it is to be published; zero = now
}

// prepare takes one event through authorize, resolve, validate and stamp. A duplicate ends here without an error: its
// receipt comes from elsewhere.
func (p *publish) prepare(ctx context.Context, known bool, i int) *autobus.Error {
	e := &p.batch.Events[i]
	if err := answerable(e); err != nil {
		return err
	}
	if request, ok := autobus.RequestType(e.Type); ok {
		return p.prepareReply(ctx, known, i, request)
	}
	if err := authorize(p.who, known, e); err != nil {
		return err
	}
	r, t, err := p.bus.resolve(ctx, p.who, e.Type, p.barrier)
	if err != nil {
		return err
	}
	if r, t, err = p.check(ctx, r, t, e); err != nil {
		return err
	}
	if err := p.request(ctx, t, e, i); err != nil {
		return err
	}
	at, err := deliverAt(e)
	if err == nil && !at.IsZero() {
		err = p.ready(ctx, r)
	}
	if err != nil {
		return err
	}
	if err := p.admit(e, i); err != nil {
		return err
	}
	it := item{index: i, route: r, at: at}
	if t == nil {
		it.hint = p.bus.unspecifiedHint(r)
	}
	return p.stampAdmitted(it, t, e)
}

// admit refuses what nothing but its batch, a full disk or a quota speaks against.
func (p *publish) admit(e *autobus.Event, i int) *autobus.Error {
	if id, ok := p.batch.Admit(i); !ok {
		return predecessorFailed(id)
	}
	if err := p.bus.cfg.Full(int64(e.Size())); err != nil {
		return err
	}
	// Last, so that only what would be appended uses the quota up. If what waits for a refused event of its key did,
	// there would be nothing left for that one.
	err := p.quota.Take(e.Size())
	if err != nil {
		p.over += err.RetryAfter
	}
	return err
}

// stampAdmitted stamps what was admitted. An event that was written before, or whose id another one has, gives back
// what it took: whoever sends a whole batch again would else spend his quota on its beginning and never come to its
// end.
func (p *publish) stampAdmitted(it item, t *spec.Type, e *autobus.Event) *autobus.Error {
	size := e.Size()
	stamped, err := p.stamp(it, t, e)
	if !stamped {
		p.quota.Back(size)
	}
	return err
}

func predecessorFailed(id string) *autobus.Error {
	if id == "" {
		return autobus.NewError(autobus.ReasonPredecessorFailed,
			"an earlier event was not written that was of the same key, or may have been, and had no id").
			WithHint("Send it and what follows in a new request; an event with an id can be sent again in the same one.")
	}
	return autobus.NewError(autobus.ReasonPredecessorFailed, "event %s of the same key was not written", id)
}

// stamp fills in what is absent, takes a claim on the id and makes the record. False without an error: another attempt
// has the claim, and its receipt is for both.
func (p *publish) stamp(it item, t *spec.Type, e *autobus.Event) (bool, *autobus.Error) {
	if e.Source == "" {
		e.Source = "/" + p.who.Name
	}
	if e.Time.IsZero() {
		e.Time = p.now
	}
	who, joined := p.who.Name, p.joined
	if !it.at.IsZero() {
		who, joined = scheduled(who), p.joinedScheduled
	}
	fresh := e.ID == ""
	if fresh {
		e.ID = autobus.NewID(p.now) // ours is new, so there is nothing to compare it with
	}
	if !it.at.IsZero() {
		p.willSchedule(it.index, e)
	}
	if !fresh {
		c, first, err := p.bus.duplicates.claim(who, it.route.topicID(), e, &p.turn, joiner{joined, it.index})
		if !first {
			p.follow()
		}
		if err != nil || !first {
			return false, err
		}
		it.claim = c
	}
	if !it.at.IsZero() {
		t = nil // which schema it went by is said when it is published
	}
	record := p.record(it.route, t, e)
	switch {
	case it.to != nil:
		record.Partition = it.to.partition
	case !it.at.IsZero():
		err := keepable(it.at, p.now)
		if it.at = delay.RoundDue(it.at); err == nil {
			err = p.notCancelled(p.scheduleID(e, it.at))
		}
		if err != nil {
			p.bus.duplicates.settle(it.claim, autobus.Receipt{Status: autobus.Refused, Err: err})
			return false, err
		}
		record = p.keep(&it, e, record)
	}
	to := p.part(it.route, record.TP)
	to.records, to.items = append(to.records, record), append(to.items, it)
	return true, nil
}

// part finds what goes to a partition. There are few of them in a batch, and neighbours often go to the same one. A new
// one has room for somewhat more than its share of a batch of many keys.
func (p *publish) part(r *route, tp kafka.TP) *part {
	for _, known := range slices.Backward(p.parts) {
		if known.tp == tp {
			return known
		}
	}
	n := p.events // still to come
	if of := int(r.Partitions); n > of {
		n = min(n, n/of+n/of/2+2)
	}
	p.parts = append(p.parts, &part{tp: tp, records: make([]kafka.Record, 0, n), items: make([]item, 0, n)})
	return p.parts[len(p.parts)-1]
}

func newTurn() turn { return turn{appended: make(chan struct{})} }

// follow waits until the event that was joined has its place, so that what comes next stands behind it. What was
// claimed here is appended before, so that nobody waits for who waits.
func (p *publish) follow() {
	behind := p.turn.behind
	if behind == nil {
		return
	}
	p.append()
	p.turn = newTurn()
	<-behind
}

// append hands the records to the log, each partition's in order, whole or not at all. Between partitions there is no
// order: a key has one.
func (p *publish) append() {
	defer func() { p.bus.duplicates.appended(&p.turn) }()
	parts := p.parts
	// What waits for the brokers holds no more of the publish than its outcome needs.
	p.parts, p.headers, p.values, p.nowText = nil, nil, nil, nil
	for _, part := range parts {
		records := part.records
		part.records = nil
		err := p.bus.cfg.Log.Append(&kafka.Append{TP: part.tp, Records: records,
			Done: func(n int, offset int64, err error) { p.appended(part, n, offset, err) }})
		if err == nil {
			continue
		}
		rc := autobus.Receipt{Status: autobus.Refused, Err: autobus.AsError(err)}
		for n := range part.items {
			p.resolved(&part.items[n], rc)
		}
	}
}

// appended is the brokers' answer to a record.
func (p *publish) appended(to *part, n int, offset int64, err error) {
	rc := autobus.Receipt{Status: autobus.Written, Partition: to.tp.Partition, Offset: offset}
	it := &to.items[n]
	if !it.at.IsZero() {
		rc.Partition, rc.Offset = 0, it.at.UnixMilli()
	}
	switch {
	case !kafka.Gone(err):
	case it.at.IsZero():
		it.route.recheck()
	default:
		p.bus.delays.Mend(to.tp.Topic)
	}
	if err != nil {
		rc = autobus.Receipt{Status: autobus.Unknown, Err: autobus.NewError(autobus.ReasonOutcomeUnknown,
			"the brokers did not confirm the event: %v", err).WithCause(err)}
	}
	p.resolved(it, rc)
}

// resolved settles an item that held a claim, and with it those who joined the claim.
func (p *publish) resolved(it *item, rc autobus.Receipt) {
	p.bus.duplicates.settle(it.claim, rc)
	if rc.Status == autobus.Written {
		rc.Hint = it.hint
	}
	if it.at.IsZero() {
		p.settle(it.index, rc)
	} else {
		p.settleScheduled(it.index, rc)
	}
}

// refuse settles an event that is not appended. Its key is looked for even so: the failure may stop it.
func (p *publish) refuse(i int, err *autobus.Error) {
	if e := &p.batch.Events[i]; e.Key == nil {
		t, _ := p.bus.cfg.Snapshot().Type(e.Type)
		_ = spec.TakeKey(t, e)
	}
	p.settle(i, autobus.Receipt{Status: autobus.Refused, Err: err})
}

func (p *publish) settle(i int, rc autobus.Receipt) {
	if rc.Status == autobus.Written {
		rc.Responders = p.responders[i]
	}
	if !p.release {
		p.bus.metrics.published(rc, p.now)
	}
	p.batch.Resolve(i, rc)
}
