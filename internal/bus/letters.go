// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Bounds of one look at dead letters. Who wants more asks again from Next on.
const (
	LettersDefault = 100
	LettersMost    = 1000
	lettersBytes   = 4 << 20 // of an answer with events
	lettersLooked  = 20_000  // letters that are read for one answer
	lettersGrouped = 200_000 // that are read for their groups
	lettersTime    = 10 * time.Second
	groupsMost     = 1000
)

// LetterQuery asks for dead letters.
type LetterQuery struct {
	From        int64  // number of the first one that may be given; 0 = the oldest
	Limit       int    // at most LettersMost; 0 = LettersDefault
	Fingerprint string // of the reason; empty = any
	Filter      string // CEL over the event, as of a subscription; empty = any
	Events      bool   // with the events themselves
}

// DeadLetters is a part of a subscription's dead letters, the oldest first.
type DeadLetters struct {
	Subscription string       `json:"subscription"`
	Letters      []DeadLetter `json:"dead_letters"`
	Next         *int64       `json:"next,omitempty"` // where to go on; absent when all were looked at
}

// LetterGroups is what there is of dead letters, by reason.
type LetterGroups struct {
	Subscription string        `json:"subscription"`
	Count        int64         `json:"count"`
	Oldest       time.Time     `json:"oldest,omitzero"`
	Youngest     time.Time     `json:"youngest,omitzero"`
	Retention    string        `json:"retention,omitempty"` // how long they are kept; absent = for ever
	Skipped      int64         `json:"skipped,omitempty"`   // the oldest ones, which were too many to look at
	Groups       []LetterGroup `json:"groups"`              // the most frequent first
}

// LetterGroup is the dead letters of one kind of reason and one type.
type LetterGroup struct {
	Fingerprint string    `json:"fingerprint"`
	Type        string    `json:"type"`
	Reason      string    `json:"reason"` // of the youngest
	Count       int64     `json:"count"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Example     int64     `json:"example"` // number of the youngest
}

// DeadLetters tells of dead letters. It takes the grant peek. ReasonSubscriptionUnknown, ReasonFilterInvalid.
func (b *Bus) DeadLetters(ctx context.Context, name string, q LetterQuery) (DeadLetters, error) {
	out := DeadLetters{Subscription: name, Letters: []DeadLetter{}}
	tp, err := b.peek(ctx, name)
	if err != nil {
		return out, err
	}
	f, bad := newFilter(q.Filter, nil)
	if bad != nil {
		return out, bad
	}
	limit := cmp.Or(q.Limit, LettersDefault)
	looked, bytes := 0, 0
	end, next, err := b.eachLetter(ctx, tp, q.From, func(l *DeadLetter) bool {
		looked++
		wanted := q.Fingerprint == "" || l.Fingerprint == q.Fingerprint
		if wanted {
			wanted, _ = f.pass(&l.event) // one for which it fails is told, as it is delivered
		}
		if wanted {
			if q.Events {
				l.Event = autobus.AppendEvent(nil, &l.event)
				bytes += len(l.Event)
			}
			out.Letters = append(out.Letters, *l)
		}
		return len(out.Letters) < limit && looked < lettersLooked && bytes < lettersBytes
	})
	if err == nil && next < end {
		out.Next = &next
	}
	return out, err
}

// DeadLetter tells of one, with its event. ReasonDeadLetterUnknown besides those of DeadLetters.
func (b *Bus) DeadLetter(ctx context.Context, name string, number int64) (l DeadLetter, err error) {
	tp, err := b.peek(ctx, name)
	if err != nil {
		return l, err
	}
	found := false
	if _, _, err = b.eachLetter(ctx, tp, number, func(first *DeadLetter) bool {
		l, found = *first, first.Number == number
		return false
	}); err != nil {
		return l, err
	}
	if !found {
		return l, autobus.NewError(autobus.ReasonDeadLetterUnknown, "there is no dead letter %d of %s", number, name)
	}
	l.Event = autobus.AppendEvent(nil, &l.event)
	return l, nil
}

// DeadLetterGroups counts the dead letters by reason and type.
func (b *Bus) DeadLetterGroups(ctx context.Context, name string) (LetterGroups, error) {
	out := LetterGroups{Subscription: name, Groups: []LetterGroup{}}
	tp, err := b.peek(ctx, name)
	if err != nil {
		return out, err
	}
	have, err := b.letterBounds(ctx, tp)
	if err != nil {
		return out, err
	}
	from := max(have.First, have.End-lettersGrouped)
	out.Skipped = from - have.First
	type kind struct{ fingerprint, typ string }
	at := map[kind]int{}
	_, _, err = b.eachLetter(ctx, tp, from, func(l *DeadLetter) bool {
		out.Count++
		if out.Oldest.IsZero() {
			out.Oldest = l.Last
		}
		out.Youngest = l.Last
		k := kind{l.Fingerprint, l.Type}
		i, known := at[k]
		if !known {
			if len(out.Groups) == groupsMost {
				return true
			}
			i = len(out.Groups)
			at[k] = i
			out.Groups = append(out.Groups, LetterGroup{Fingerprint: k.fingerprint, Type: k.typ, First: l.Last})
		}
		g := &out.Groups[i]
		g.Reason, g.Last, g.Example = l.Reason, l.Last, l.Number
		g.Count++
		return true
	})
	slices.SortStableFunc(out.Groups, func(a, b LetterGroup) int { return cmp.Compare(b.Count, a.Count) })
	if err != nil {
		return out, err
	}
	topics, err := b.cfg.Log.Topics(ctx, tp.Topic)
	if ms := number64(topics[tp.Topic].Configs["retention.ms"]); ms > 0 {
		out.Retention = autobus.Duration(ms * int64(time.Millisecond)).String()
	}
	return out, err
}

// peek checks that the caller may look at the dead letters of a subscription, and gives their place.
func (b *Bus) peek(ctx context.Context, name string) (kafka.TP, error) {
	who, known := autobus.PrincipalOf(ctx)
	switch {
	case !known:
		return kafka.TP{}, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	case !who.May(autobus.VerbPeek, name):
		return kafka.TP{}, autobus.NewError(autobus.ReasonForbidden, "%s may not look at the dead letters of %q", who.Name,
			clipName(name)).WithHint("It takes the grant peek:%s.", clipName(name))
	}
	return kafka.TP{Topic: deadLetters(name)}, nil
}

// letterBounds are those of the dead letters. They outlive their subscription; one that drops has no topic of them.
func (b *Bus) letterBounds(ctx context.Context, tp kafka.TP) (kafka.Bounds, error) {
	bounds, err := b.cfg.Log.Bounds(ctx, tp.Topic)
	if err != nil {
		return kafka.Bounds{}, err
	}
	have, exists := bounds[tp]
	if !exists {
		who, _ := autobus.PrincipalOf(ctx)
		_, err = b.known(ctx, who, strings.TrimPrefix(tp.Topic, deadLetters("")))
	}
	return have, err
}

// eachLetter reads dead letters from a number on up to those that there are now, as long as each wants more. next is
// where it stopped.
func (b *Bus) eachLetter(ctx context.Context, tp kafka.TP, from int64, each func(*DeadLetter) bool) (end, next int64,
	err error) {
	have, err := b.letterBounds(ctx, tp)
	if next = max(from, have.First); err != nil || next >= have.End {
		return have.End, next, err
	}
	reader, err := b.cfg.Log.Follow(map[kafka.TP]int64{tp: next})
	if err != nil {
		return have.End, next, err
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(ctx, lettersTime)
	defer cancel()
	for next < have.End {
		records, err := reader.Poll(ctx)
		if err != nil {
			return have.End, next, autobus.NewError(autobus.ReasonClusterUnreachable, "dead letters from number %d on: %v",
				next, err).WithCause(err)
		}
		for i := range records {
			r := &records[i]
			if next = r.Offset + 1; r.Marker {
				continue
			}
			if l := readLetter(b.cfg.Log.Name(), r); !each(&l) {
				return have.End, next, nil
			}
		}
	}
	return have.End, next, nil
}
