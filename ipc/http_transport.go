// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"net/http"

	"github.com/autobus-io/autobus"
)

// Transport is an http.RoundTripper that asks over the bus, so that a client moves with its code as it is:
//
//	client := &http.Client{Transport: &ipc.Transport{Caller: caller, Type: "pricing.http.call.v1"}}
//
// The host of the URL says nothing to the bus; it arrives as the Host of the request. The deadline is that of the
// request's context, or of http.Client.Timeout, else DefaultTimeout. Each round trip is a request of its own, with an
// id of its own: an Idempotency-Key is the service's to honour, as it is over HTTP. What the bus refuses, or nobody
// answers, is the error of RoundTrip; errors.As finds the *autobus.Error.
type Transport struct {
	Caller *Caller
	Type   string                       // of the requests
	TypeOf func(r *http.Request) string // instead of Type, where it depends on the request; nil = it does not
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := EncodeRequest(r)
	if err != nil {
		return nil, err
	}
	typ := t.Type
	if t.TypeOf != nil {
		typ = t.TypeOf(r)
	}
	e := autobus.Event{Type: typ, ContentType: raw.ContentType, Data: raw.Data}
	if parent := r.Header.Get("Traceparent"); parent != "" && autobus.ValidText(parent) {
		e.SetExt(autobus.ExtTraceParent, parent)
	}
	reply, err := t.Caller.CallEvent(r.Context(), e)
	if err != nil {
		return nil, err
	}
	if !isHTTP(reply.ContentType) {
		return nil, autobus.NewError(autobus.ReasonResponderFailed, "%s answered %q, which is no HTTP", reply.Responder,
			reply.ContentType)
	}
	return DecodeResponse(reply.Data, r)
}
