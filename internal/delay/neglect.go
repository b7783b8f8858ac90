// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"context"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// Notice is how long before retention takes them delayed records are told of that nobody works on.
const Notice = 24 * time.Hour

// Neglect is what of a topic of delayed records is undone and about to be deleted.
type Neglect struct {
	Topic string
	Count int64
	From  time.Time // when the first of them may go
}

// Neglected looks which delayed records retention takes within Notice, because nobody works on them: their time in the
// topic was over six days ago.
func (k *Keeper) Neglected(ctx context.Context, now time.Time) ([]Neglect, error) {
	return neglected(ctx, &k.cfg, now)
}

// Neglected does so from outside, by what the group committed.
func Neglected(ctx context.Context, log *kafka.Log, now time.Time) ([]Neglect, error) {
	return neglected(ctx, &Config{Name: Group, Log: log,
		Saved: func(kafka.TP, [16]byte) (int64, bool) { return 0, false }}, now)
}

func neglected(ctx context.Context, cfg *Config, now time.Time) (out []Neglect, err error) {
	tiers := cfg.tiers()
	names := make([]string, len(tiers))
	for i, t := range tiers {
		names[i] = t.topic
	}
	topics, err := cfg.Log.Topics(ctx, names...)
	if err != nil || len(topics) == 0 {
		return nil, err
	}
	commits, err := cfg.Log.Committed(ctx, cfg.Name)
	if err != nil {
		return nil, err
	}
	for _, t := range tiers {
		topic, there := topics[t.topic]
		if !there || topic.Err != nil {
			continue
		}
		kept := t.retention()
		if told, ok := topic.Millis("retention.ms"); ok {
			kept = told
		}
		if kept <= 0 { // it is kept for ever
			continue
		}
		n, err := cfg.neglectedOf(ctx, topic, commits, now, kept)
		if err != nil {
			return nil, err
		}
		if n.Count > 0 {
			out = append(out, n)
		}
	}
	return out, nil
}

// neglectedOf looks at one topic, whose records are kept for so long.
func (c *Config) neglectedOf(ctx context.Context, topic kafka.Topic, commits map[kafka.TP]kafka.Commit, now time.Time,
	kept time.Duration) (n Neglect, err error) {
	n.Topic = topic.Name
	bounds, err := c.Log.Bounds(ctx, topic.Name)
	if err != nil {
		return n, err
	}
	upTo, err := c.Log.At(ctx, now.Add(Notice-kept), topic.Name)
	if err != nil {
		return n, err
	}
	first := map[kafka.TP]int64{} // undone, of each partition that has such records
	for tp, b := range bounds {
		at := marks{base: b.First}
		if m, ok := commits[tp]; ok && m.Offset > b.First && m.Offset <= b.End {
			at, _ = decodeMarks(m.Offset, m.Metadata)
		}
		if saved, ok := c.Saved(tp, topic.ID); ok && saved > at.base && saved <= b.End {
			at = marks{base: saved}
		}
		for o := at.base; o < min(upTo[tp], b.End); o++ {
			if at.has(o) {
				continue
			}
			if _, have := first[tp]; !have {
				first[tp] = o
			}
			n.Count++
		}
	}
	if n.Count == 0 {
		return n, nil
	}
	n.From, err = c.goneFrom(ctx, first, kept)
	return n, err
}

// goneFrom is when the first of these records may be deleted.
func (c *Config) goneFrom(ctx context.Context, first map[kafka.TP]int64, kept time.Duration) (from time.Time,
	err error) {
	reader, err := c.Log.Follow(first)
	if err != nil {
		return from, err
	}
	defer reader.Close()
	for len(first) > 0 {
		records, err := reader.Poll(ctx)
		if err != nil {
			return from, err
		}
		for i := range records {
			if _, wanted := first[records[i].TP]; !wanted {
				continue
			}
			delete(first, records[i].TP)
			if at := records[i].Time.Add(kept).UTC(); from.IsZero() || at.Before(from) {
				from = at
			}
		}
	}
	return from, nil
}
