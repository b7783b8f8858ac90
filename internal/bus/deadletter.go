// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// deadLetters is the topic of a subscription's dead letters.
func deadLetters(subscription string) string { return "dlq." + subscription }

const (
	deadLetterRetention = 14 * 24 * time.Hour
	maxFailureBytes     = 1 << 10
	buryAgain           = time.Second
	lettersPrefix       = "autobus-dlq-" // of the headers that a dead letter has besides
)

// bury writes an exhausted event to the dead letters; only when every in-sync replica has it is the event done. Until
// then its key waits.
func (g *group) bury(sl *slot) {
	p := sl.part
	rec := deadLetter(deadLetters(g.name), sl, time.Now().UTC())
	err := g.bus.cfg.Log.Append(&kafka.Append{TP: rec.TP, Records: []kafka.Record{rec},
		Done: func(_ int, _ int64, err error) { g.buried(p, sl, err) }})
	if err != nil { // no room now; nothing was written
		g.timers.set(sl, time.Now().Add(buryAgain))
		g.tick()
	}
}

// buried takes the brokers' answer. After an error the letter may be there all the same: writing it again may double
// it, not writing it would lose it.
func (g *group) buried(p *partition, sl *slot, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.phase == closed || sl.state != burying {
		return
	}
	if err != nil {
		g.noGrave = g.noGrave || kafka.Gone(err)
		if kafka.TooLarge(err) && !sl.bare { // somebody wrote it who may write more than the bus takes
			sl.bare = true
			g.bus.metrics.bareLetters.Inc()
		}
		g.bus.cfg.Logger.Warn("write dead letter", "subscription", g.name, "type", p.typ, "partition", p.tp.Partition,
			"offset", sl.record.Offset, "error", err)
		g.timers.set(sl, time.Now().Add(buryAgain))
		g.tick()
		return
	}
	p.burying--
	g.finish(sl, settledDead)
	p.rest()
	g.dispatch()
}

// deadLetter is the record as it was, with why and where from.
func deadLetter(topic string, sl *slot, now time.Time) kafka.Record {
	r := sl.record
	headers := make([]kafka.Header, 0, len(r.Headers)+8)
	for _, h := range r.Headers {
		if !sl.bare && !strings.HasPrefix(h.Key, lettersPrefix) {
			headers = append(headers, h)
		}
	}
	add := func(key, value string) {
		headers = append(headers, kafka.Header{Key: lettersPrefix + key, Value: []byte(value)})
	}
	first := sl.first
	if first.IsZero() {
		first = now
	}
	add("reason", clipFailure(sl.failure))
	add("attempts", strconv.Itoa(sl.attempt))
	add("topic", r.Topic)
	add("partition", strconv.Itoa(int(r.Partition)))
	add("offset", strconv.FormatInt(r.Offset, 10))
	add("first", first.UTC().Format(time.RFC3339Nano))
	add("last", now.Format(time.RFC3339Nano))
	if sl.letter > 0 {
		add("redriven", strconv.FormatInt(sl.letter-1, 10))
	}
	if sl.bare {
		add("omitted", "key, value and headers: the record is larger than a dead letter may be")
		return kafka.Record{TP: kafka.TP{Topic: topic}, Time: now, Value: []byte{}, Headers: headers}
	}
	return kafka.Record{TP: kafka.TP{Topic: topic}, Time: now, Key: r.Key, Value: r.Value, Headers: headers}
}

// mendGrave makes the topic of the dead letters anew when somebody deleted it. What waits to be buried comes again by
// its timer.
func (g *group) mendGrave(ctx context.Context) {
	g.mu.Lock()
	gone := g.noGrave
	g.mu.Unlock()
	if !gone {
		return
	}
	if err := g.bus.createDeadLetters(ctx, g.name); err != nil {
		g.bus.cfg.Logger.Warn("make the topic of dead letters anew", "subscription", g.name, "error", err)
		return
	}
	if g.bus.cfg.Log.Renew(deadLetters(g.name)) {
		g.mu.Lock()
		g.noGrave = false
		g.mu.Unlock()
	}
}

func clipFailure(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxFailureBytes)], "\uFFFD")
}

// createDeadLetters makes the topic; its retention is how long somebody has to look.
func (b *Bus) createDeadLetters(ctx context.Context, subscription string) error {
	_, err := b.cfg.Log.CreateInternal(ctx, deadLetters(subscription), 1, map[string]string{
		"retention.ms": strconv.FormatInt(deadLetterRetention.Milliseconds(), 10)})
	return err
}
