// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Headers of a record beside ce_*: CloudEvents' binary mode for Kafka, trace context as sent, and our own.
const (
	attributePrefix   = "ce_"
	headerContentType = "content-type"
	headerEpoch       = "autobus-epoch"     // the route's epoch at the time of the append
	headerSchemaID    = "__value_schema_id" // 1 and the schema's GUID: by it other Kafka clients find the schema
	defaultContent    = "application/json"

	// headerForm is for builds to come: the form of the record, where it is not the one of this page. Clients cannot send
	// it. A record that has it is never guessed at and never passed over.
	headerForm = "autobus-form"
)

// newerForm says that a record is of a form that only a newer build can read.
func newerForm(rec *kafka.Record) error {
	for i := range rec.Headers {
		if h := &rec.Headers[i]; h.Key == headerForm {
			return autobus.NewError(autobus.ReasonTypeUnreadable, "the record at offset %d of partition %d of %s has form %q, "+
				"which this build cannot read", rec.Offset, rec.Partition, rec.Topic, clipName(string(h.Value)))
		}
	}
	return nil
}

// decode makes an event of a record. A record that somebody else wrote, without CloudEvents headers, becomes an event
// too, marked unspecified: a reader must neither crash on it nor miss it. Its type is that of its topic, also where it
// was copied from another one.
func decode(cluster, typ string, rec *kafka.Record) autobus.Event {
	e := autobus.Event{Key: rec.Key, Data: rec.Value}
	texts := newTexts(rec.Headers)
	for _, h := range rec.Headers {
		value := texts.next(h.Value)
		name, isAttribute := strings.CutPrefix(h.Key, attributePrefix)
		switch {
		case h.Key == "ce_specversion":
		case h.Key == "ce_id":
			e.ID = value
		case h.Key == "ce_source":
			e.Source = value
		case h.Key == "ce_type":
			e.Type = value
		case h.Key == "ce_subject":
			e.Subject = value
		case h.Key == "ce_dataschema":
			e.DataSchema = value
		case h.Key == "ce_time":
			e.Time = timeOf(h.Value, value)
		case h.Key == headerContentType, h.Key == "ce_datacontenttype":
			e.ContentType = value
		case h.Key == autobus.ExtTraceParent, h.Key == autobus.ExtTraceState:
			e.SetExt(h.Key, value)
		case h.Key == "ce_data": // no attribute, and in JSON it would stand in the place of the data
		case isAttribute && autobus.ValidExtension(name):
			e.SetExt(strings.Clone(name), value) // the name is a part of all that was fetched
		}
	}
	if e.ID == "" || e.Source == "" || e.Type == "" {
		e.Unspecified = true
		e.ID = fmt.Sprintf("%s:%d:%d", rec.Topic, rec.Partition, rec.Offset)
		e.Source = "/kafka/" + cluster + "/" + rec.Topic
		if _, has := e.Ext(autobus.ExtPartitionKey); !has && len(rec.Key) > 0 && utf8.Valid(rec.Key) {
			e.SetExt(autobus.ExtPartitionKey, string(rec.Key))
		}
	}
	e.Type = cmp.Or(typ, e.Type)
	if e.Time.IsZero() {
		e.Time = rec.Time.UTC()
	}
	if y := e.Time.Year(); y < 0 || y > 9999 { // of a producer that counts in other units, and no reader's time
		e.Time = time.Time{}
	}
	return e
}

// timeOf reads a time; zero = it is none. One with an offset of a day, which RFC 3339 does not have, is told in UTC.
func timeOf(raw []byte, text string) (t time.Time) {
	if t.UnmarshalText(raw) != nil { // which is quick, but does not take all that was written before
		t, _ = time.Parse(time.RFC3339Nano, text)
	}
	const day = 24 * 60 * 60
	if _, offset := t.Zone(); offset <= -day || offset >= day {
		return t.UTC()
	}
	return t
}

// texts makes strings of the values of headers: parts of one string, for an event has about nine.
type texts struct{ rest string }

func newTexts(headers []kafka.Header) texts {
	n := 0
	for i := range headers {
		n += len(headers[i].Value)
	}
	var b strings.Builder
	b.Grow(n)
	for i := range headers {
		b.Write(headers[i].Value)
	}
	return texts{b.String()}
}

// next gives the text of the next header's value, repaired where it is no UTF-8.
func (t *texts) next(value []byte) string {
	s := t.rest[:len(value)]
	t.rest = t.rest[len(value):]
	return strings.ToValidUTF8(s, "\uFFFD")
}
