// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"bytes"
	"encoding/json"
	"time"
)

// NewEvent makes an event with a new id. Data that is []byte or json.RawMessage is taken as it is and copied; nil means
// no data; everything else becomes JSON by json.Marshal, and ReasonDataUnreadable says that it cannot. Source and time
// are the bus's to fill in unless an option sets them. Sending the same Event again is safe, because of its id.
func NewEvent(typ string, data any, opts ...EventOption) (Event, error) {
	e := Event{ID: NewID(time.Now()), Type: typ}
	switch data := data.(type) {
	case nil:
	case []byte:
		e.Data = bytes.Clone(data)
	case json.RawMessage:
		e.Data = bytes.Clone(data)
	default:
		var err error
		if e.Data, err = json.Marshal(data); err != nil {
			return e, NewError(ReasonDataUnreadable, "the data of %s cannot be made JSON: %v", typ, err).WithCause(err).
				WithHint("Send a value that json.Marshal takes, or the bytes themselves.")
		}
	}
	for _, o := range opts {
		o(&e)
	}
	return e, nil
}

// EventOption sets something of an event beside its type and data.
type EventOption func(*Event)

// WithID sets the id, such as that of the row that the event tells of. It is unique per source: the bus refuses other
// content under the same id.
func WithID(id string) EventOption { return func(e *Event) { e.ID = id } }

// WithSource sets the source, a URI reference. Without it, it is "/" and the principal's name.
func WithSource(source string) EventOption { return func(e *Event) { e.Source = source } }

// WithSubject sets the subject.
func WithSubject(subject string) EventOption { return func(e *Event) { e.Subject = subject } }

// WithTime sets when it happened. Without it, it is when the gateway took it.
func WithTime(t time.Time) EventOption { return func(e *Event) { e.Time = t } }

// WithContentType says what the data is; it is JSON if nobody says otherwise.
func WithContentType(ct string) EventOption { return func(e *Event) { e.ContentType = ct } }

// WithKey sets the partition key, for types whose spec names no field as key. Events of one key are read in order.
func WithKey(key string) EventOption { return WithExtension(ExtPartitionKey, key) }

// WithDeliverAt has the event published at that time and not before: its receipt says then when, and by which name it
// can be cancelled, see Receipt.Scheduled. Order is promised neither among scheduled events nor beside others.
func WithDeliverAt(t time.Time) EventOption {
	return WithExtension(ExtDeliverAt, t.UTC().Format(time.RFC3339Nano))
}

// WithDelay is WithDeliverAt so much later than now.
func WithDelay(d time.Duration) EventOption { return WithDeliverAt(time.Now().Add(d)) }

// WithExtension sets a CloudEvents extension attribute.
func WithExtension(name, value string) EventOption { return func(e *Event) { e.SetExt(name, value) } }

// CausedBy says that the event is a consequence of another: causationid is that one's id, and a correlationid that it
// carries is carried on. In a handler: autobus.CausedBy(&delivery.Event).
func CausedBy(cause *Event) EventOption {
	return func(e *Event) {
		e.SetExt(ExtCausationID, cause.ID)
		if flow, ok := cause.Ext(ExtCorrelationID); ok {
			e.SetExt(ExtCorrelationID, flow)
		}
	}
}
