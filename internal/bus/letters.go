// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"errors"
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

// DeadLetters tells of dead letters. It takes the grant peek. ReasonSubscriptionUnknown, ReasonFilterInvalid.
func (b *Bus) DeadLetters(ctx context.Context, name string, q LetterQuery) (DeadLetters, error) {
	out := DeadLetters{Subscription: name, Letters: []DeadLetter{}}
	if err := b.peek(ctx, name); err != nil {
		return out, err
	}
	f, bad := newFilter(q.Filter, nil)
	if bad != nil {
		return out, bad
	}
	fates, have, err := b.standing(ctx, name)
	if err != nil {
		return out, err
	}
	have.First = max(have.First, q.From)
	limit := cmp.Or(q.Limit, LettersDefault)
	looked, bytes := 0, 0
	next, err := b.eachLetter(ctx, name, have, func(l *DeadLetter) bool {
		looked++
		wanted := (q.Fingerprint == "" || l.Fingerprint == q.Fingerprint) && fates.of(l) == ""
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
	if err == nil && next < have.End {
		out.Next = &next
	}
	return out, err
}

// standing is what became of the dead letters of a subscription, and which there are.
func (b *Bus) standing(ctx context.Context, name string) (*fates, kafka.Bounds, error) {
	f, err := b.fates(ctx, name, true)
	if err != nil {
		return nil, kafka.Bounds{}, err
	}
	have, err := b.letterBounds(ctx, name)
	return f, have, err
}

// DeadLetter tells of one, with its event, also when it was redriven or dropped since. ReasonDeadLetterUnknown besides
// those of DeadLetters.
func (b *Bus) DeadLetter(ctx context.Context, name string, number int64) (l DeadLetter, err error) {
	if err := b.peek(ctx, name); err != nil {
		return l, err
	}
	fates, have, err := b.standing(ctx, name)
	if err != nil {
		return l, err
	}
	if l, _, err = b.readRecord(ctx, name, number, have); err != nil {
		return l, err
	}
	if l.Fate = fates.of(&l); l.Fate == fateNever {
		return l, noLetter(name, number)
	}
	l.Event = autobus.AppendEvent(nil, &l.event)
	return l, nil
}

func noLetter(name string, number int64) *autobus.Error {
	return autobus.NewError(autobus.ReasonDeadLetterUnknown, "there is no dead letter %d of %s", number, name)
}

// readRecord reads one letter and its record, whatever became of it.
func (b *Bus) readRecord(ctx context.Context, name string, number int64, have kafka.Bounds) (l DeadLetter,
	rec kafka.Record, err error) {
	if number < have.First || number >= have.End {
		return l, rec, noLetter(name, number)
	}
	found := false
	_, err = b.eachLetterRecord(ctx, name, kafka.Bounds{First: number, End: number + 1},
		func(first *DeadLetter, r *kafka.Record) bool {
			l, rec, found = *first, r.Clone(), first.Number == number
			return false
		})
	if err == nil && !found {
		err = noLetter(name, number)
	}
	return l, rec, err
}

// peek checks that the caller may look at the dead letters of a subscription.
func (b *Bus) peek(ctx context.Context, name string) error {
	who, known := autobus.PrincipalOf(ctx)
	switch {
	case !known:
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	case !who.May(autobus.VerbPeek, name):
		return autobus.NewError(autobus.ReasonForbidden, "%s may not look at the dead letters of %q", who.Name,
			clipName(name)).WithHint("It takes the grant peek:%s.", clipName(name))
	}
	return nil
}

// letterBounds are those of a subscription's dead letters. They outlive it; one that drops has no topic of them.
func (b *Bus) letterBounds(ctx context.Context, name string) (kafka.Bounds, error) {
	tp := lettersOf(name)
	bounds, err := b.cfg.Log.Bounds(ctx, tp.Topic)
	if err != nil {
		return kafka.Bounds{}, err
	}
	have, exists := bounds[tp]
	if !exists && name != Schedules { // nothing scheduled ever failed
		who, _ := autobus.PrincipalOf(ctx)
		_, err = b.known(ctx, who, name)
	}
	return have, err
}

func lettersOf(name string) kafka.TP { return kafka.TP{Topic: deadLetters(name)} }

// errEnough ends a look at dead letters before their end.
var errEnough = errors.New("no more is wanted")

// eachLetter reads the dead letters of a subscription within bounds, as long as each wants more, and gives where it
// stopped.
func (b *Bus) eachLetter(ctx context.Context, name string, in kafka.Bounds, each func(*DeadLetter) bool) (next int64,
	err error) {
	return b.eachLetterRecord(ctx, name, in, func(l *DeadLetter, _ *kafka.Record) bool { return each(l) })
}

func (b *Bus) eachLetterRecord(ctx context.Context, name string, in kafka.Bounds,
	each func(*DeadLetter, *kafka.Record) bool) (next int64, err error) {
	if in.First >= in.End {
		return in.First, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lettersTime)
	defer cancel()
	tp := lettersOf(name)
	next = in.First
	from, upTo := map[kafka.TP]int64{tp: in.First}, map[kafka.TP]int64{tp: in.End - 1}
	err = b.eachOwn(ctx, from, upTo, func(r *kafka.Record) error {
		next = r.Offset + 1
		if l := readLetter(b.cfg.Log.Name(), r); !each(&l, r) {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return next, nil
	case err != nil:
		return next, autobus.NewError(autobus.ReasonClusterUnreachable, "dead letters from number %d on: %v", next, err).
			WithCause(err)
	}
	return in.End, nil
}
