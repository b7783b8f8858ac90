// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// Shared is what all events of a frame have in common; a field that is empty is each event's own. It is a part of the
// frame's header.
type Shared struct {
	Type        string `json:"type,omitempty"`
	Source      string `json:"source,omitempty"`
	ContentType string `json:"datacontenttype,omitempty"`
}

// Share finds what n events have in common.
func Share(n int, event func(int) *autobus.Event) Shared {
	if n == 0 {
		return Shared{}
	}
	first := event(0)
	s := Shared{Type: first.Type, Source: first.Source, ContentType: first.ContentType}
	for i := 1; i < n; i++ {
		e := event(i)
		if e.Type != s.Type {
			s.Type = ""
		}
		if e.Source != s.Source {
			s.Source = ""
		}
		if e.ContentType != s.ContentType {
			s.ContentType = ""
		}
	}
	return s
}

// A record's headers have the names that they have in Kafka: ce_ and the attribute, but for these.
const (
	attributePrefix   = "ce_"
	headerContentType = "content-type"
)

// AppendRecord appends an event as Kafka's record of version 2: lengths as zigzag varints, attributes and timestamp 0.
// delta is its offset less that of the frame. The key stands in the record; what Shared has is left away.
func AppendRecord(dst []byte, delta int64, e *autobus.Event, s *Shared) []byte {
	var stamp [len(time.RFC3339Nano)]byte
	var at []byte
	if !e.Time.IsZero() {
		at = e.Time.AppendFormat(stamp[:0], time.RFC3339Nano)
	}
	headers := recordHeaders{}
	headers.measure(e, s, len(at))
	size := 2 + varintLen(delta) + bytesLen(e.Key) + bytesLen(e.Data) + varintLen(int64(headers.count)) + headers.size
	dst = binary.AppendVarint(dst, int64(size))
	dst = append(dst, 0, 0)
	dst = binary.AppendVarint(dst, delta)
	dst = appendBytes(dst, e.Key)
	dst = appendBytes(dst, e.Data)
	dst = binary.AppendVarint(dst, int64(headers.count))
	visit(e, s, func(prefix, name, value string) {
		dst = appendName(dst, prefix, name)
		dst = binary.AppendVarint(dst, int64(len(value)))
		dst = append(dst, value...)
	})
	if at != nil {
		dst = appendName(dst, attributePrefix, "time")
		dst = appendBytes(dst, at)
	}
	return dst
}

// recordHeaders is how many headers a record has, and their bytes.
type recordHeaders struct{ count, size int }

func (h *recordHeaders) measure(e *autobus.Event, s *Shared, at int) {
	add := func(name, value int) {
		h.count++
		h.size += varintLen(int64(name)) + name + varintLen(int64(value)) + value
	}
	visit(e, s, func(prefix, name, value string) { add(len(prefix)+len(name), len(value)) })
	if at > 0 {
		add(len(attributePrefix)+len("time"), at)
	}
}

// visit names all attributes that go into headers, but time.
func visit(e *autobus.Event, s *Shared, header func(prefix, name, value string)) {
	attribute := func(name, value, shared string) {
		if value != shared {
			header(attributePrefix, name, value)
		}
	}
	attribute("id", e.ID, "")
	attribute("source", e.Source, s.Source)
	attribute("type", e.Type, s.Type)
	attribute("subject", e.Subject, "")
	attribute("dataschema", e.DataSchema, "")
	if e.ContentType != s.ContentType {
		header("", headerContentType, e.ContentType)
	}
	for i := range e.Extensions {
		x := &e.Extensions[i]
		if x.Name == autobus.ExtTraceParent || x.Name == autobus.ExtTraceState {
			header("", x.Name, x.Value)
		} else {
			header(attributePrefix, x.Name, x.Value)
		}
	}
}

func appendName(dst []byte, prefix, name string) []byte {
	dst = binary.AppendVarint(dst, int64(len(prefix)+len(name)))
	dst = append(dst, prefix...)
	return append(dst, name...)
}

// appendBytes appends a length and bytes; nil has the length -1.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // zigzag of -1
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

func bytesLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func varintLen(v int64) int {
	n := 1
	for u := uint64(v)<<1 ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// CountRecords counts the records of a body without reading them.
func CountRecords(body []byte) (n int, err *autobus.Error) {
	for ; len(body) > 0; n++ {
		size, at := binary.Varint(body)
		if at <= 0 || size < 0 || size > int64(len(body)-at) {
			return n, invalid("record %d cannot be read: its length is %d, %d bytes are left", n, size,
				len(body)-max(at, 0))
		}
		body = body[at+int(size):]
	}
	return n, nil
}

// Records reads the records of a body, one after the other.
type Records struct {
	shared Shared
	body   []byte
	room   []autobus.Extension // for those of the records to come
	made   int                 // how much of it was made at once
	read   int
	err    *autobus.Error
}

// NewRecords reads body, which must not change while the events of it are in use: key and data are slices of it.
func NewRecords(body []byte, s Shared) *Records { return &Records{shared: s, body: body} }

// Next reads a record into e, which has to be empty. False: there are no more, or Err says why not. refused is what is
// wrong with this event alone; then e holds what could be read.
func (r *Records) Next(e *autobus.Event) (delta int64, refused *autobus.Error, ok bool) {
	if len(r.body) == 0 {
		return 0, nil, false
	}
	size, n := binary.Varint(r.body)
	if n <= 0 || size < 0 || size > int64(len(r.body)-n) {
		return r.fail("its length is %d, %d bytes are left", size, len(r.body)-max(n, 0))
	}
	c := cursor{rest: r.body[n : n+int(size)]}
	r.body = r.body[n+int(size):]
	c.skip(1) // attributes
	c.number()
	delta = c.number()
	e.Key = c.bytes()
	e.Data = c.bytes()
	count := c.number()
	if c.bad || count < 0 || count > int64(len(c.rest)) {
		return r.fail("it ends too early, or a length is wrong")
	}
	r.grow(e, count)
	refused = c.headers(e, count)
	r.shrink(e)
	if c.bad || len(c.rest) > 0 {
		return r.fail("its headers do not end where it does")
	}
	r.fill(e)
	r.read++
	return delta, refused, true
}

// grow gives an event room for the extensions that its headers can hold; shrink takes back what it did not need.
func (r *Records) grow(e *autobus.Event, headers int64) {
	const most = autobus.MaxExtensions
	n := int(min(headers, most))
	if len(r.room) < n {
		r.made = max(n, min(2*r.made, 4*most))
		r.room = make([]autobus.Extension, r.made)
	}
	e.Extensions = r.room[:0:n]
}

func (r *Records) shrink(e *autobus.Event) {
	switch n := len(e.Extensions); {
	case n == 0:
		e.Extensions = nil
	case n <= autobus.MaxExtensions: // else they found a place of their own
		r.room = r.room[n:]
		e.Extensions = slices.Clip(e.Extensions)
	}
}

func (r *Records) fail(format string, args ...any) (int64, *autobus.Error, bool) {
	r.err, r.body = invalid("record %d cannot be read: "+format, append([]any{r.read}, args...)...), nil
	return 0, nil, false
}

// Err says why Next ended before the end; nil = it did not.
func (r *Records) Err() *autobus.Error { return r.err }

func (r *Records) fill(e *autobus.Event) {
	if e.Type == "" {
		e.Type = r.shared.Type
	}
	if e.Source == "" {
		e.Source = r.shared.Source
	}
	if e.ContentType == "" {
		e.ContentType = r.shared.ContentType
	}
}

// cursor reads what a record is made of. Once something does not fit it is bad, and gives nothing more.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) skip(n int) {
	if n > len(c.rest) {
		c.bad, n = true, len(c.rest)
	}
	c.rest = c.rest[n:]
}

func (c *cursor) number() int64 {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		c.bad, n = true, 0
	}
	c.rest = c.rest[n:]
	return v
}

// bytes reads a length and bytes; nil for the length -1.
func (c *cursor) bytes() []byte {
	n := c.number()
	if n == -1 || c.bad {
		return nil
	}
	if n < 0 || n > int64(len(c.rest)) {
		c.bad = true
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// headers reads the attributes. All of them are parts of one string, so that an event costs one of them.
func (c *cursor) headers(e *autobus.Event, count int64) (refused *autobus.Error) {
	all := string(c.rest)
	text := func() string {
		b := c.bytes()
		end := len(all) - len(c.rest)
		return all[end-len(b) : end]
	}
	for range count {
		name, value := text(), text()
		if c.bad {
			return nil
		}
		if err := setHeader(e, name, value); err != nil && refused == nil {
			refused = err
		}
	}
	return refused
}

func setHeader(e *autobus.Event, name, value string) *autobus.Error {
	attribute, ok := strings.CutPrefix(name, attributePrefix)
	switch {
	case name == headerContentType:
		return e.SetAttribute("datacontenttype", value)
	case name == autobus.ExtTraceParent, name == autobus.ExtTraceState:
		return e.SetAttribute(name, value)
	case ok && attribute == "specversion":
		if value != "1.0" {
			return autobus.NewError(autobus.ReasonEventInvalid, "specversion is not \"1.0\"")
		}
		return nil
	case ok:
		return e.SetAttribute(attribute, value)
	}
	return autobus.NewError(autobus.ReasonEventInvalid, "%.40q is no header of an event", name).
		WithHint("Attributes are headers that begin with %s; anything else belongs into the data.", attributePrefix)
}
