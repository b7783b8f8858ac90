// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// setHeaders puts the attributes of ce-* headers into the event, as the CloudEvents HTTP binding's binary mode says:
// names in lower case without the prefix, values unquoted and percent-decoded once.
func setHeaders(e *autobus.Event, h http.Header) *autobus.Error {
	// Sorted, so that of several faults always the same one is told.
	for _, key := range slices.Sorted(maps.Keys(h)) {
		name, ok := ceName(key)
		if !ok || name == "specversion" {
			continue
		}
		value, err := headerValue(h, key)
		if err != nil {
			return err
		}
		if name == "type" && e.Type != "" {
			if value != e.Type {
				return autobus.NewError(autobus.ReasonEventInvalid, "ce-type %q differs from the type in the path",
					edge.Clip(value))
			}
			continue
		}
		if name == "datacontenttype" {
			return autobus.NewError(autobus.ReasonEventInvalid, "ce-datacontenttype stands beside Content-Type").
				WithHint("Send the data's content type in the header Content-Type alone.")
		}
		if err := e.SetAttribute(name, value); err != nil {
			return err
		}
	}
	return nil
}

// checkVersion refuses another version of CloudEvents; the header may be absent where the path says what is meant.
func checkVersion(h http.Header, needed bool) *autobus.Error {
	v, err := headerValue(h, "Ce-Specversion")
	if err != nil {
		return err
	}
	if v != "1.0" && (needed || v != "") {
		return autobus.NewError(autobus.ReasonEventInvalid, "ce-specversion is %q, not 1.0", edge.Clip(v))
	}
	return nil
}

// setIdempotencyKey makes the key the id of an event without one: retries then share the id through any instance, and
// consumers can tell the second copy.
func setIdempotencyKey(e *autobus.Event, h http.Header) *autobus.Error {
	if len(h["Idempotency-Key"]) == 0 {
		return nil
	}
	key, ok := unquote(h.Get("Idempotency-Key"))
	if len(h["Idempotency-Key"]) > 1 || !ok || key == "" {
		return autobus.NewError(autobus.ReasonRequestInvalid, "Idempotency-Key is empty or not one value")
	}
	if e.ID == "" {
		e.ID = key
	}
	return nil
}

// trace is the W3C trace context of a request; what cannot be one is ignored, as that standard asks.
type trace struct{ parent, state string }

func traceOf(h http.Header) trace {
	t := trace{parent: h.Get("Traceparent"), state: strings.Join(h.Values("Tracestate"), ",")}
	if len(t.parent) > 512 || !autobus.ValidText(t.parent) {
		return trace{}
	}
	if len(t.state) > autobus.MaxAttributeBytes || !autobus.ValidText(t.state) {
		t.state = ""
	}
	return t
}

// set gives the context to an event that brings none.
func (t trace) set(e *autobus.Event) {
	if t.parent == "" {
		return
	}
	if _, has := e.Ext(autobus.ExtTraceParent); has {
		return
	}
	e.SetExt(autobus.ExtTraceParent, t.parent)
	if _, has := e.Ext(autobus.ExtTraceState); !has && t.state != "" {
		e.SetExt(autobus.ExtTraceState, t.state)
	}
}

// checkReserved refuses headers in the bus's own name space.
func checkReserved(h http.Header) *autobus.Error {
	for key := range h {
		if strings.HasPrefix(key, "Autobus-") {
			return autobus.NewError(autobus.ReasonHeaderReserved, "the header %s is the bus's own", edge.Clip(key))
		}
	}
	return nil
}

// singleOnly refuses headers that would be the attributes of every event of a batch or stream.
func singleOnly(h http.Header, prefixes ...string) *autobus.Error {
	for _, key := range slices.Sorted(maps.Keys(h)) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(key, prefix) {
				return autobus.NewError(autobus.ReasonRequestInvalid, "the header %s belongs to a single event", edge.Clip(key)).
					WithHint("Give each event its own attributes: send whole CloudEvents to POST /v1/events.")
			}
		}
	}
	return nil
}

func ceName(key string) (string, bool) {
	name, ok := strings.CutPrefix(strings.ToLower(key), "ce-")
	return name, ok
}

func isBinary(h http.Header) bool {
	for key := range h {
		if _, ok := ceName(key); ok {
			return true
		}
	}
	return false
}

func headerValue(h http.Header, key string) (string, *autobus.Error) {
	if len(h[key]) > 1 {
		return "", autobus.NewError(autobus.ReasonEventInvalid, "the header %s stands %d times", key, len(h[key]))
	}
	text, ok := unquote(h.Get(key))
	value, err := url.PathUnescape(text)
	if !ok || err != nil {
		return "", autobus.NewError(autobus.ReasonEventInvalid, "the header %s is wrongly quoted or percent-encoded", key).
			WithHint("Write a percent sign as %%25.")
	}
	return value, nil
}

// unquote reads a quoted-string of HTTP; what does not begin with a quote is taken as it is.
func unquote(s string) (string, bool) {
	if !strings.HasPrefix(s, `"`) {
		return s, true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i == len(s)-1
		case '\\':
			if i++; i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}
