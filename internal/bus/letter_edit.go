// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// LetterEdit is what is to be different about the event of a dead letter.
type LetterEdit struct {
	Data   json.RawMessage `json:"data,omitempty"` // absent = as it is
	Key    *string         `json:"key,omitempty"`  // absent = as it is, or as the data says
	DryRun bool            `json:"dry_run,omitempty"`
	Reason string          `json:"reason,omitempty"`
}

// EditLetter changes the data or the key of a dead letter: another letter with them takes its place, which is answered.
// The event must be one that could be published as it then is. It takes the grant redrive.
//
// ReasonDeadLetterUnknown, ReasonRequestInvalid: nothing is to be changed; and whatever an event is refused for.
func (b *Bus) EditLetter(ctx context.Context, name string, number int64, edit LetterEdit, a Audit) (l DeadLetter,
	err error) {
	who, err := mayRedrive(ctx, name)
	if err != nil {
		return l, err
	}
	if len(edit.Data) == 0 && edit.Key == nil {
		return l, autobus.NewError(autobus.ReasonRequestInvalid, "neither data nor key is given").
			WithHint("Give what is to be changed.")
	}
	fates, have, err := b.standing(ctx, name)
	if err != nil {
		return l, err
	}
	l, rec, err := b.readRecord(ctx, name, number, have)
	if err != nil {
		return l, err
	}
	if fate := fates.of(&l); fate == fateNever {
		return l, noLetter(name, number)
	} else if fate != "" {
		return l, autobus.NewError(autobus.ReasonDeadLetterUnknown, "dead letter %d of %s was %s already", number, name, fate)
	}
	if l.Omitted != "" {
		return l, autobus.NewError(autobus.ReasonRequestInvalid, "dead letter %d of %s has no data that could be changed",
			number, name)
	}
	if err := b.applyEdit(ctx, who, &l, &edit); err != nil {
		return l, err
	}
	if edit.DryRun {
		l.Event = autobus.AppendEvent(nil, &l.event)
		return l, nil
	}
	b.cfg.Log.UseInternal(deadLetters(name))
	at, err := b.cfg.Log.Write(ctx, edited(rec, number, &l.event))
	if err != nil {
		return l, autobus.NewError(autobus.ReasonClusterUnreachable, "the edited letter could not be written: %v", err).
			WithCause(err).WithHint("The dead letter is as it was; try again.")
	}
	// Only this makes it count: before, it is a record of which nobody tells.
	_, err = b.writeJob(ctx, control.Job{Action: control.JobEdit, Subscription: name, TopicID: fates.topicID,
		End: number + 1, Numbers: []int64{number}, Count: 1, Letter: at, Actor: a.Actor, Reason: or(edit.Reason, a.Reason),
		Created: time.Now().UTC()})
	if err != nil {
		return l, err
	}
	return b.letterAfter(ctx, name, at)
}

// letterAfter tells of a letter without asking for the grant to look: who edited it has seen it.
func (b *Bus) letterAfter(ctx context.Context, name string, number int64) (DeadLetter, error) {
	have, err := b.letterBounds(ctx, name)
	if err != nil {
		return DeadLetter{}, err
	}
	l, _, err := b.readRecord(ctx, name, number, have)
	l.Event = autobus.AppendEvent(nil, &l.event)
	return l, err
}

// applyEdit changes the event of a letter, and holds it against its type as a publish would.
func (b *Bus) applyEdit(ctx context.Context, who autobus.Principal, l *DeadLetter, edit *LetterEdit) error {
	e := &l.event
	if len(edit.Data) > 0 {
		e.Data = edit.Data
		if !e.IsJSON() {
			e.ContentType = defaultContent
		}
	}
	limit := autobus.MaxEventBytes
	r, t, missing := b.find(ctx, who, e.Type, b.refresh.after)
	switch {
	case missing == nil:
		limit = r.maxEvent()
	case missing.Reason != autobus.ReasonTypeUnknown || b.cfg.CreateType == nil:
		return missing
	}
	// The key that the event had says nothing about the data that it has now.
	_, named := e.Ext(autobus.ExtPartitionKey)
	fromData := t != nil && t.KeyPointer != ""
	e.Extensions = slices.DeleteFunc(slices.Clone(e.Extensions), func(x autobus.Extension) bool {
		return x.Name == autobus.ExtPartitionKey
	})
	switch {
	case edit.Key != nil:
		e.SetExt(autobus.ExtPartitionKey, *edit.Key)
	case named && !fromData:
		e.SetExt(autobus.ExtPartitionKey, string(e.Key))
	}
	key := e.Key
	if err := spec.CheckEvent(t, e, limit); err != nil {
		return err
	}
	if _, has := e.Ext(autobus.ExtPartitionKey); !has && !fromData {
		e.Key = key
	}
	if fromData && named {
		e.SetExt(autobus.ExtPartitionKey, string(e.Key))
	}
	l.Key = strings.ToValidUTF8(string(e.Key), "\uFFFD")
	return nil
}

// edited is the record of the letter that takes the place of another one.
func edited(rec kafka.Record, number int64, e *autobus.Event) kafka.Record {
	const header = lettersPrefix + "edited"
	keyHeader := headerOf(autobus.ExtPartitionKey)
	out := kafka.Record{TP: rec.TP, Time: time.Now(), Key: e.Key, Value: e.Data}
	for _, h := range rec.Headers {
		switch h.Key {
		case header, keyHeader, headerContentType, "ce_datacontenttype":
		default:
			out.Headers = append(out.Headers, h)
		}
	}
	if key, has := e.Ext(autobus.ExtPartitionKey); has && !e.Unspecified {
		out.Headers = append(out.Headers, kafka.Header{Key: keyHeader, Value: []byte(key)})
	}
	content := or(e.ContentType, defaultContent)
	out.Headers = append(out.Headers, kafka.Header{Key: headerContentType, Value: []byte(content)},
		kafka.Header{Key: header, Value: strconv.AppendInt(nil, number, 10)})
	return out
}
