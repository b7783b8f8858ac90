// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// The log of replies. A reply is a record like any other, so any instance takes it and any instance finds it; it is
// kept for as long as an answer may be asked for.
const (
	repliesTopic      = "_autobus.replies"
	repliesPartitions = 64
	repliesRetention  = 15 * time.Minute
	repliesSegment    = 5 * time.Minute // retention deletes whole segments
	readRepliesAgain  = 250 * time.Millisecond
)

// replies is this instance's part in the log of replies: the inboxes that are open here, all in one partition, which
// it reads from an explicit offset on, without a group. A group would hand a reply to an instance that has no use for
// it. Nothing of it begins before the first inbox does.
type replies struct {
	bus    *Bus
	wanted chan struct{} // closed when the first inbox is wanted
	routes sync.Map      // type of a reply -> *route

	opening sync.Mutex // held while what follows is found out; it takes the brokers' time

	mu         sync.Mutex
	signer     *signer // nil = the secret is not known yet
	partitions int32   // of the topic; 0 = it is not known to exist
	own        int32   // partition of the inboxes here
	next       int64   // offset to be read next there; -1 = it is not read yet
	inboxes    map[inboxID]*inbox
	feeds      map[int32]*feed // by partition: of the inboxes that are resumed here
	slow       time.Duration   // how long one of these may hold up the others
}

func newReplies(b *Bus) *replies {
	return &replies{bus: b, wanted: make(chan struct{}), next: -1, inboxes: map[inboxID]*inbox{},
		feeds: map[int32]*feed{}, slow: slowInbox}
}

// sign gives the signer of addresses. Without create it is nil as long as the cluster has no secret, so that no
// instance gave an address.
func (rs *replies) sign(ctx context.Context, create bool) (*signer, error) {
	rs.mu.Lock()
	known := rs.signer
	rs.mu.Unlock()
	if known != nil {
		return known, nil
	}
	log := rs.bus.cfg.Control
	for tries := 0; ; tries++ {
		rec, ok := log.Get(control.KindSecret, control.SecretReplies)
		if ok {
			v, err := control.Decode[control.Secret](rec)
			if err != nil {
				return nil, err
			}
			s := &signer{key: v.Key}
			rs.mu.Lock()
			rs.signer = s
			rs.mu.Unlock()
			return s, nil
		}
		switch {
		case tries == 0: // another instance may have made it
			if err := rs.bus.refresh.after(ctx); err != nil {
				return nil, autobus.NewError(autobus.ReasonClusterUnreachable,
					"the secret of reply addresses could not be looked up in time").WithCause(err)
			}
			continue
		case !create || tries > changeAttempts:
			return nil, nil
		}
		var key [32]byte
		_, _ = rand.Read(key[:])
		next, err := control.NewRecord(control.KindSecret, control.SecretReplies, control.None, control.Secret{Key: key[:]})
		if err != nil {
			return nil, err
		}
		next.Actor, next.Reason = "autobus:"+rs.bus.cfg.Instance, "the first inbox"
		_, err = log.Change(ctx, next)
		if err != nil && !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return nil, err
		}
	}
}

// open makes sure that the topic is there, and gives the number of its partitions.
func (rs *replies) open(ctx context.Context) (partitions int32, err error) {
	rs.opening.Lock()
	defer rs.opening.Unlock()
	rs.mu.Lock()
	n := rs.partitions
	rs.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	want := int32(repliesPartitions)
	if rs.bus.cfg.Embedded {
		want = 1 // there is one broker, and usually one instance
	}
	log := rs.bus.cfg.Log
	if _, err := log.CreateInternal(ctx, repliesTopic, want, map[string]string{
		"retention.ms": inMillis(repliesRetention), "segment.ms": inMillis(repliesSegment)}); err != nil {
		return 0, err
	}
	for n == 0 { // one that was just made may not be known to all brokers
		topics, err := log.Topics(ctx, repliesTopic)
		if err != nil {
			return 0, err
		}
		if t, ok := topics[repliesTopic]; ok && t.Err == nil {
			n = t.Partitions
			continue
		}
		select {
		case <-time.After(readRepliesAgain):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	log.UseInternal(repliesTopic)
	rs.mu.Lock()
	rs.partitions = n
	rs.mu.Unlock()
	return n, nil
}

// begin has the partition of this instance read, from its end as it is now, and gives it.
func (rs *replies) begin(ctx context.Context) (partition int32, err error) {
	n, err := rs.open(ctx)
	if err != nil {
		return 0, err
	}
	rs.opening.Lock()
	defer rs.opening.Unlock()
	rs.mu.Lock()
	begun, own := rs.next >= 0, rs.own
	rs.mu.Unlock()
	if begun {
		return own, nil
	}
	tp := kafka.TP{Topic: repliesTopic, Partition: mathrand.Int32N(n)}
	end, err := rs.end(ctx, tp)
	if err != nil {
		return 0, err
	}
	rs.mu.Lock()
	rs.own, rs.next = tp.Partition, end
	rs.mu.Unlock()
	close(rs.wanted)
	return tp.Partition, nil
}

// end asks for the offset of the next reply in a partition, before anybody can send one to an address in it.
func (rs *replies) end(ctx context.Context, tp kafka.TP) (int64, error) {
	ends, err := rs.bus.cfg.Log.Ends(ctx, tp.Topic)
	if err != nil {
		return 0, err
	}
	end, ok := ends[tp]
	if !ok {
		return 0, autobus.NewError(autobus.ReasonClusterUnreachable, "partition %d of %s is not there", tp.Partition,
			tp.Topic)
	}
	return end, nil
}

// run reads the replies to the inboxes here until ctx ends.
func (rs *replies) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-rs.wanted:
	}
	for ctx.Err() == nil {
		err := rs.read(ctx)
		if ctx.Err() != nil {
			return
		}
		rs.bus.cfg.Logger.Warn("replies cannot be read and will be tried again", "error", err)
		if errors.Is(err, &autobus.Error{Reason: autobus.ReasonPositionLost}) {
			rs.restart(ctx)
		}
		select {
		case <-ctx.Done():
		case <-time.After(readRepliesAgain):
		}
	}
}

// restart goes on at the end, after what was to be read is gone: whoever waits for it hears of it by his deadline.
func (rs *replies) restart(ctx context.Context) {
	rs.mu.Lock()
	rs.partitions = 0
	tp := kafka.TP{Topic: repliesTopic, Partition: rs.own}
	rs.mu.Unlock()
	if _, err := rs.open(ctx); err != nil {
		return
	}
	if end, err := rs.end(ctx, tp); err == nil {
		rs.mu.Lock()
		rs.next = end
		rs.mu.Unlock()
	}
}

func (rs *replies) read(ctx context.Context) error {
	rs.mu.Lock()
	from := map[kafka.TP]int64{{Topic: repliesTopic, Partition: rs.own}: rs.next}
	rs.mu.Unlock()
	reader, err := rs.bus.cfg.Log.Follow(from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		records, err := reader.Poll(ctx)
		rs.hand(records)
		if err != nil {
			return err
		}
	}
}

// hand gives each reply to the inbox that it is for. Those for nobody here are passed over: their inbox is gone, or at
// another instance.
func (rs *replies) hand(records []kafka.Record) {
	for i := range records {
		r := &records[i]
		rs.mu.Lock()
		rs.next = r.Offset + 1
		var to *inbox
		if id, ok := addressee(r); ok {
			to = rs.inboxes[id]
		}
		rs.mu.Unlock()
		if to != nil {
			to.put(rs.delivery(r))
		}
	}
}

// delivery makes a reply of its record.
func (rs *replies) delivery(r *kafka.Record) autobus.Delivery {
	own := r.Clone() // it may wait, and is a part of all that was fetched with it
	return autobus.Delivery{Event: decode(rs.bus.cfg.Log.Name(), "", &own), Partition: r.Partition, Offset: r.Offset,
		Attempt: 1}
}

// addressee reads for which inbox a record is; false = it is no reply.
func addressee(r *kafka.Record) (id inboxID, ok bool) {
	for i := range r.Headers {
		if r.Headers[i].Key == headerTo {
			return nonceOf(r.Headers[i].Value)
		}
	}
	return id, false
}

const headerTo = attributePrefix + autobus.ExtTo
