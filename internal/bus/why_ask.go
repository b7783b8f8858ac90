// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// askBrokers learns what the cluster knows. False: it does not answer.
func (q *inquiry) askBrokers(ctx context.Context) bool {
	log := q.bus.cfg.Log
	fail := func(err error) bool {
		q.add(whyProblem, WhyKafka, "brokers of "+log.Name(), "autobus doctor", "do not answer: %v", err)
		return false
	}
	short, cancel := context.WithTimeout(ctx, whyBrokers)
	defer cancel()
	partitions, err := log.Partitions(short)
	if err != nil {
		return fail(err)
	}
	for _, p := range partitions {
		if typ := q.types[p.Topic]; typ != "" && p.Leader < 0 {
			q.add(whyProblem, WhyNoLeader, place(typ, p.Partition), "autobus doctor", "no broker leads it")
		}
	}
	ctx, stop := context.WithTimeout(ctx, whyLag)
	defer stop()
	if q.lag, err = q.bus.Lag(ctx, q.name); err != nil {
		return fail(err)
	}
	members, err := log.DescribeGroup(ctx, q.name)
	if err != nil {
		return fail(err)
	}
	dead, err := log.Bounds(ctx, deadLetters(q.name))
	if err != nil {
		return fail(err)
	}
	for _, have := range dead {
		q.out.DeadLetters += have.End - have.First
	}
	q.findElsewhere(members.Members)
	q.count()
	return true
}

// findElsewhere takes over who has partitions beside this instance. Members without any are left out: they have
// workers, but nothing for them.
func (q *inquiry) findElsewhere(members []kafka.GroupMember) {
	for _, m := range members {
		e := WhyPeer{Instance: m.ClientID}
		if p, ok := peerOf(m.ClientID); ok {
			e.Instance, e.Address = p.instance, p.address
		}
		for _, tp := range m.Holds {
			if _, here := q.sightings.parts[tp]; !here && e.Instance != q.bus.cfg.Instance && q.types[tp.Topic] != "" {
				e.tps = append(e.tps, tp)
			}
		}
		if e.Partitions = len(e.tps); e.Partitions > 0 {
			q.out.Elsewhere = append(q.out.Elsewhere, e)
		}
	}
	slices.SortFunc(q.out.Elsewhere, func(a, b WhyPeer) int { return cmp.Compare(a.Instance, b.Instance) })
}

// count tells what is undone: of what this instance holds by its memory, of the rest by what is committed.
func (q *inquiry) count() {
	topics := map[string]string{}
	for topic, typ := range q.types {
		topics[typ] = topic
	}
	q.ends = map[kafka.TP]int64{}
	q.out.Behind, q.out.Undone, q.out.Parked = 0, 0, 0
	for _, l := range q.lag.Partitions {
		tp := kafka.TP{Topic: topics[l.Type], Partition: l.Partition}
		q.ends[tp] = l.End
		q.out.Behind += l.Behind
		s, here := q.sightings.parts[tp]
		if !here || s.opening {
			q.out.Undone += l.Undone
			q.out.Parked += l.Parked
			continue
		}
		q.out.Parked += int64(s.kept)
		q.out.Undone += int64(s.undone+s.kept) + max(0, l.End-s.next)
	}
}

// doneElsewhere counts what is done in partitions that other members hold, by their commits. An attempt that failed is
// committed too, and is no progress.
func (q *inquiry) doneElsewhere(ctx context.Context) map[kafka.TP]int64 {
	if len(q.out.Elsewhere) == 0 {
		return nil
	}
	all, err := q.bus.cfg.Log.Committed(ctx, q.name)
	if err != nil {
		return nil
	}
	out := map[kafka.TP]int64{}
	for tp, c := range all {
		if _, here := q.sightings.parts[tp]; here {
			continue
		}
		out[tp] = c.Offset
		if pos, err := ledger.Decode(c.Offset, c.Metadata); err == nil {
			out[tp] += int64(pos.DoneAbove())
		}
	}
	return out
}

// watch looks whether anything ends: here by the ledgers, elsewhere by the commits, which a member makes every second
// when something changed.
func (q *inquiry) watch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, whyWatch+whyBrokers)
	defer cancel()
	before, limit := q.doneElsewhere(ctx), time.Now().Add(whyWatch)
	first := q.sightings.ended()
	for !q.moved && time.Now().Before(limit) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(whyLook):
		}
		q.glance(first)
	}
	if !q.moved {
		for tp, done := range q.doneElsewhere(ctx) {
			was, known := before[tp]
			q.moved = q.moved || known && done > was
		}
	}
	q.look() // what is told is how it stands now
	q.count()
}
