// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The CloudEvents 1.0 JSON format, read and written without touching the data: it is a slice of what came in, and goes
// out verbatim. What is found here is not yet judged: Event.Check holds an event against the limits, the spec's schema
// judges the data, so ParseEvent does not even ask whether data is readable JSON.

// ParseEvent reads one event in the structured JSON format. Data is a part of raw where that is possible, so raw must
// not change afterwards. id, source and time may be absent: the bus fills them in.
//
// With an error the event holds what could be read, so that a refusal can name its id. The reason is
// ReasonBodyUnreadable when raw is not JSON, else what is wrong with the event.
func ParseEvent(raw []byte) (Event, *Error) {
	var (
		e       Event
		p       envelope
		s       = scanner{raw: raw}
		invalid = s.object(func(name string, value []byte) { p.take(&e, name, value) })
	)
	if invalid != nil {
		return e, invalid
	}
	p.finish(&e)
	return e, p.fault
}

// envelope collects the members whose meaning depends on others, and the first thing that was wrong.
type envelope struct {
	version    string
	data       []byte // as it stands in the JSON; nil = absent
	dataBase64 []byte
	seen       uint8
	fault      *Error
}

const (
	seenVersion = 1 << iota
	seenData
	seenBase64
)

func (p *envelope) take(e *Event, name string, value []byte) {
	switch name {
	case "data":
		p.once(seenData, name)
		p.data = value
	case "data_base64":
		p.once(seenBase64, name)
		if !isNull(value) {
			p.dataBase64 = value
		}
	case "specversion":
		p.once(seenVersion, name)
		v, err := attributeValue(name, value)
		p.fail(err)
		p.version = v
	default:
		if isNull(value) {
			return
		}
		v, err := attributeValue(name, value)
		if err == nil && value[0] != '"' && (name == "time" || e.attribute(name) != nil) {
			err = NewError(ReasonEventInvalid, "%s is not a string", name)
		}
		if err == nil {
			err = e.SetAttribute(name, v)
		}
		p.fail(err)
	}
}

func (p *envelope) once(bit uint8, name string) {
	if p.seen&bit != 0 {
		p.fail(twice(name))
	}
	p.seen |= bit
}

func (p *envelope) fail(err *Error) {
	if p.fault == nil {
		p.fault = err
	}
}

func (p *envelope) finish(e *Event) {
	switch {
	case p.version != "1.0":
		p.fail(NewError(ReasonEventInvalid, "specversion is %q, not \"1.0\"", clip(p.version)))
	case e.Type == "":
		p.fail(NewError(ReasonEventInvalid, "type is missing"))
	case p.data != nil && p.dataBase64 != nil:
		p.fail(NewError(ReasonEventInvalid, "data and data_base64 exclude each other"))
	case p.dataBase64 != nil:
		p.fail(p.decodeBase64(e))
	case p.data == nil:
	case e.IsJSON():
		e.Data = p.data
	case !isNull(p.data):
		text, ok := unquote(p.data)
		if !ok {
			p.fail(NewError(ReasonEventInvalid, "data of content type %s must be a JSON string", clip(e.ContentType)).
				WithHint("Send text as a string, anything else as data_base64."))
			return
		}
		e.Data = []byte(text)
	}
}

func (p *envelope) decodeBase64(e *Event) *Error {
	text, ok := unquote(p.dataBase64)
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || strings.ContainsAny(text, "\r\n") {
		return NewError(ReasonEventInvalid, "data_base64 is not a string of padded standard base64")
	}
	e.Data = data
	return nil
}

// attributeValue gives the canonical string of a CloudEvents value: string, boolean or 32-bit integer.
func attributeValue(name string, value []byte) (string, *Error) {
	switch {
	case value[0] == '"':
		s, ok := unquote(value)
		if !ok {
			return "", NewError(ReasonEventInvalid, "%s is not a valid JSON string", clip(name))
		}
		return s, nil
	case string(value) == "true", string(value) == "false":
		return string(value), nil
	}
	if n, err := strconv.ParseInt(string(value), 10, 32); err == nil && value[0] != '+' && json.Valid(value) {
		return strconv.FormatInt(n, 10), nil
	}
	return "", NewError(ReasonEventInvalid, "%s is neither a string, nor a boolean, nor a 32-bit integer", clip(name)).
		WithHint("Send other values as strings, or put them into the data.")
}

// SetAttribute sets the attribute of that CloudEvents name, as the bindings with one header per attribute need it. An
// attribute that is set already, an empty value where CloudEvents forbids it and a bad time are refused.
func (e *Event) SetAttribute(name, value string) *Error {
	field := e.attribute(name)
	switch {
	case field == nil && name != "time":
		if _, ok := e.Ext(name); ok {
			return twice(name)
		}
		e.Extensions = append(e.Extensions, Extension{Name: name, Value: value})
		return nil
	case value == "":
		return NewError(ReasonEventInvalid, "%s is empty; leave it away instead", name)
	case field != nil:
		if *field != "" {
			return twice(name)
		}
		*field = value
		return nil
	}
	if !e.Time.IsZero() {
		return twice(name)
	}
	t, ok := ParseTime(value)
	if !ok {
		return NewError(ReasonEventInvalid, "time %q is not RFC 3339 with an offset", clip(value)).
			WithHint("Send it as 2026-01-31T15:04:05.123Z or with an offset such as +03:00.")
	}
	e.Time = t
	return nil
}

// ParseTime reads a time as attributes have it: exactly RFC 3339, where time.Parse forgives hours of one digit, a
// decimal comma and offsets of more than a day. The zero time is what an absent one looks like, so it cannot be said.
func ParseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.IsZero() || s[13] != ':' || s[19] == ',' {
		return time.Time{}, false
	}
	if n := len(s); s[n-1] != 'Z' && (s[n-5:n-3] > "23" || s[n-2:] > "59") {
		return time.Time{}, false
	}
	return t, true
}

func (e *Event) attribute(name string) *string {
	switch name {
	case "id":
		return &e.ID
	case "source":
		return &e.Source
	case "type":
		return &e.Type
	case "subject":
		return &e.Subject
	case "datacontenttype":
		return &e.ContentType
	case "dataschema":
		return &e.DataSchema
	}
	return nil
}

func twice(name string) *Error {
	return NewError(ReasonEventInvalid, "the attribute %s stands twice", clip(name))
}

// AppendEvent appends the event in the structured JSON format, on one line: a CR or LF between the tokens of JSON data
// becomes a space, everything else of the data stays as it is. Data that is not JSON goes as data_base64.
func AppendEvent(dst []byte, e *Event) []byte {
	dst = append(dst, `{"specversion":"1.0"`...)
	dst = appendAttribute(dst, "id", e.ID)
	dst = appendAttribute(dst, "source", e.Source)
	dst = appendAttribute(dst, "type", e.Type)
	dst = appendAttribute(dst, "subject", e.Subject)
	if !e.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = e.Time.AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	dst = appendAttribute(dst, "datacontenttype", e.ContentType)
	dst = appendAttribute(dst, "dataschema", e.DataSchema)
	for i := range e.Extensions {
		dst = append(dst, ',')
		dst = AppendString(dst, e.Extensions[i].Name)
		dst = append(dst, ':')
		dst = AppendString(dst, e.Extensions[i].Value)
	}
	switch {
	case e.Data == nil:
	case e.IsJSON() && json.Valid(e.Data) && utf8.Valid(e.Data):
		dst = append(dst, `,"data":`...)
		dst = appendLine(dst, e.Data)
	default:
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

func appendAttribute(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return AppendString(dst, value)
}

// appendLine appends valid JSON. There a raw CR or LF can only stand between tokens, where a space means the same.
func appendLine(dst, data []byte) []byte {
	for {
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			return append(dst, data...)
		}
		dst = append(dst, data[:i]...)
		dst = append(dst, ' ')
		data = data[i+1:]
	}
}
