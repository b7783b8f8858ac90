// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// call is one call of a client.
type call struct {
	Method string
	Params json.RawMessage
	ID     json.RawMessage // nil = a notification
}

// parse reads a call; a fault leaves the id where it could be read.
func parse(raw json.RawMessage) (c call, f *fault) {
	c.ID = null
	// encoding/json matches names whatever their case, and takes null for absent; the standard does neither.
	var fields map[string]json.RawMessage
	if raw[0] != '{' || json.Unmarshal(raw, &fields) != nil {
		return c, invalid("a call is an object")
	}
	id, hasID := fields["id"]
	if hasID && id[0] != '"' && !bytes.Equal(id, null) && id[0] != '-' && (id[0] < '0' || id[0] > '9') {
		return c, invalid("the id is neither text nor a number")
	}
	if hasID {
		c.ID = id
	}
	c.Params = fields["params"]
	switch method := fields["method"]; {
	case string(fields["jsonrpc"]) != `"2.0"`:
		return c, invalid(`jsonrpc is not "2.0"`)
	case method == nil || method[0] != '"' || json.Unmarshal(method, &c.Method) != nil:
		return c, invalid("the method is not text")
	case c.Params != nil && c.Params[0] != '{' && c.Params[0] != '[':
		return c, invalid("params are neither an object nor an array")
	}
	if !hasID {
		c.ID = nil
	}
	return c, nil
}

// answer makes a call and gives the response object; nil for a notification.
func (e *Edge) answer(ctx context.Context, r *http.Request, raw json.RawMessage) []byte {
	c, f := parse(raw)
	if f != nil {
		return respond(nil, c.ID, nil, f)
	}
	ev := autobus.Event{Type: e.typeOf(c.Method), ContentType: "application/json", Data: c.Params}
	if ev.Data == nil {
		ev.Data = []byte("{}")
	}
	if id := eventID(c.ID); id != "" {
		ev.ID = id
	}
	if parent := r.Header.Get("Traceparent"); parent != "" && autobus.ValidText(parent) {
		ev.SetExt(autobus.ExtTraceParent, parent)
	}
	if _, replies := autobus.RequestType(ev.Type); replies {
		return e.refuse(r, c, autobus.NewError(autobus.ReasonTypeUnknown, "%q names replies", edge.Clip(ev.Type)))
	}
	if c.ID == nil {
		if _, err := autobus.PublishOne(ctx, e.cfg.Bus, ev); err != nil {
			e.cfg.Logger.Info("a notification was not written", "reason", autobus.AsError(err).Reason)
		}
		return nil
	}
	caller, err := e.cfg.Callers.Of(ctx)
	var reply *ipc.Reply
	if err == nil {
		reply, err = caller.CallEvent(ctx, ev)
	}
	if declared, ok := errors.AsType[*ipc.ErrorReply](err); ok {
		return respond(nil, c.ID, nil, declaredFault(declared.Reply))
	}
	if err == nil && reply.Data != nil && !reply.IsJSON() {
		err = autobus.NewError(autobus.ReasonResponderFailed, "the reply is %q, which is no JSON",
			edge.Clip(reply.ContentType))
	}
	if e.cfg.Newest != nil && errors.Is(err, &autobus.Error{Reason: autobus.ReasonTypeInvalid}) {
		err = autobus.NewError(autobus.ReasonTypeUnknown, "no type is named %q, in whatever version", edge.Clip(c.Method))
	}
	if err != nil {
		return e.refuse(r, c, err)
	}
	return respond(nil, c.ID, reply.Data, nil)
}

// refuse answers by the error of the bus. A notification is answered by nothing.
func (e *Edge) refuse(r *http.Request, c call, err error) []byte {
	if c.ID == nil {
		return nil
	}
	own := autobus.AsError(err)
	if gone, ok := errors.AsType[*autobus.Error](context.Cause(r.Context())); ok {
		own = gone
	}
	edge.LogCause(r, own)
	return respond(nil, c.ID, nil, busFault(own, edge.RequestID(r.Context())))
}

// typeOf finds the type that a method names; one that there is not is left to the bus to refuse.
func (e *Edge) typeOf(method string) string {
	if e.cfg.Newest == nil || autobus.ValidType(method) {
		return method
	}
	if typ, ok := e.cfg.Newest(method); ok {
		return typ
	}
	return method
}

// eventID gives the id of the event where the call's is a UUID; "" where it says nothing to the bus.
func eventID(id json.RawMessage) string {
	var s string
	if json.Unmarshal(id, &s) != nil || len(s) != 36 {
		return ""
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return ""
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F'):
			return ""
		}
	}
	return s
}
