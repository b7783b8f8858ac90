// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// stamper makes the records of one publish. An event has about ten headers, and a header of its own memory each would
// cost more than the append: they are cut from a few blocks, which live as long as the records of the publish.
type stamper struct {
	now     time.Time
	events  int    // still to come, at most: how large a block is worth it
	nowText []byte // what now is in ce_time
	headers []kafka.Header
	values  []byte
}

const (
	usualHeaders = 9   // of one event
	usualValues  = 160 // bytes of the headers of one event that are its own
)

// record makes the record of an event: the value is the data untouched, all else stands in headers. The record's
// timestamp is the gateway's clock, because a broker refuses the whole batch for one timestamp in the future; the
// event's own time is ce_time. t is the spec that the data was checked by, nil = none. A dataschema that the client
// sent stays, as all that it sent does; which schema the bus went by is in the header beside it.
func (s *stamper) record(r *route, t *spec.Type, e *autobus.Event) kafka.Record {
	headers := s.room(10 + len(e.Extensions))
	add := func(key string, value []byte) { headers = append(headers, kafka.Header{Key: key, Value: value}) }
	add("ce_specversion", r.same.version)
	add("ce_id", s.text(e.ID))
	add("ce_source", s.text(e.Source))
	add("ce_type", r.same.typ)
	add("ce_time", s.time(e.Time))
	if e.Subject != "" {
		add("ce_subject", s.text(e.Subject))
	}
	var uri, schemaID []byte
	if t != nil {
		uri, schemaID, _ = t.SchemaHeaders()
	}
	if e.DataSchema != "" {
		uri = s.text(e.DataSchema)
	}
	if uri != nil {
		add("ce_dataschema", uri)
	}
	for _, x := range e.Extensions {
		if x.Name == autobus.ExtDeliverAt { // it did its part when the record stands in its topic
			continue
		}
		add(headerOf(x.Name), s.text(x.Value))
	}
	switch {
	case e.ContentType != "":
		add(headerContentType, s.text(e.ContentType))
	case e.Data != nil:
		add(headerContentType, r.same.content)
	}
	if schemaID != nil {
		add(headerSchemaID, schemaID)
	}
	add(headerEpoch, r.same.epoch)
	if s.events > 1 {
		s.events--
	}
	return kafka.Record{TP: kafka.TP{Topic: r.Topic, Partition: r.partition(e.Key)}, Time: s.now, Key: e.Key,
		Value: e.Data, Headers: headers}
}

// same is what the headers of all events of a route say alike.
type same struct{ version, typ, content, epoch []byte }

func newSame(typ string, epoch int64) same {
	return same{version: []byte("1.0"), typ: []byte(typ), content: []byte(defaultContent),
		epoch: strconv.AppendInt(nil, epoch, 10)}
}

// headerOf names the header of an extension. The concatenation would be a piece of memory for each event.
func headerOf(extension string) string {
	switch extension {
	case autobus.ExtTraceParent, autobus.ExtTraceState: // CloudEvents leaves them their own names
		return extension
	case autobus.ExtPartitionKey:
		return attributePrefix + autobus.ExtPartitionKey
	}
	return attributePrefix + extension
}

// room gives an empty slice for n headers.
func (s *stamper) room(n int) []kafka.Header {
	if len(s.headers) < n {
		s.headers = make([]kafka.Header, max(n, s.events*usualHeaders))
	}
	h := s.headers[:0:n]
	s.headers = s.headers[n:]
	return h
}

func (s *stamper) text(v string) []byte {
	s.reserve(len(v))
	n := len(s.values)
	s.values = append(s.values, v...)
	return s.values[n:len(s.values):len(s.values)]
}

func (s *stamper) time(t time.Time) []byte {
	now := t.Equal(s.now) && t.Location() == s.now.Location()
	if now && s.nowText != nil {
		return s.nowText
	}
	s.reserve(len(time.RFC3339Nano))
	n := len(s.values)
	s.values = t.AppendFormat(s.values, time.RFC3339Nano)
	text := s.values[n:len(s.values):len(s.values)]
	if now {
		s.nowText = text
	}
	return text
}

func (s *stamper) reserve(n int) {
	if cap(s.values)-len(s.values) < n {
		s.values = make([]byte, 0, max(n, s.events*usualValues))
	}
}
