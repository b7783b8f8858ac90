// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// HandleFunc handles one event. Its error says what becomes of the event, see OutcomeOf: nil is done. The context ends
// when the work is pointless or has to end; context.Cause tells why.
type HandleFunc func(ctx context.Context, d *Delivery) error

// Typed makes a handler that gets the event's JSON data as a T. Data that is no T is rejected, with a reason that says
// where, because it would be none at the next attempt either; what is to happen instead, a handler around this one
// says:
//
//	if errors.Is(err, &autobus.Error{Reason: autobus.ReasonDataUnreadable}) {
//		return autobus.Skipped("not for us")
//	}
//
// Fields that T does not have are passed over: a newer minor version of the type may send them.
func Typed[T any](handle func(ctx context.Context, data T, d *Delivery) error) HandleFunc {
	return func(ctx context.Context, d *Delivery) error {
		var data T
		if err := json.Unmarshal(d.Data, &data); err != nil {
			return Rejected(NewError(ReasonDataUnreadable, "%s", unreadable(d, err)).WithCause(err))
		}
		return handle(ctx, data, d)
	}
}

// unreadable says where data is not what a handler expects, without a word of the data itself.
func unreadable(d *Delivery, err error) string {
	if len(d.Data) == 0 {
		return "the event has no data"
	}
	if !d.IsJSON() {
		return fmt.Sprintf("the data is %s, not JSON", clip(d.ContentType))
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		got, _, _ := strings.Cut(wrong.Value, " ") // of a number the value follows
		at := ""
		if wrong.Field != "" {
			at = "/" + strings.ReplaceAll(wrong.Field, ".", "/")
		}
		return fmt.Sprintf("the data at %q, byte %d, is a %s, the handler wants a %s", at, wrong.Offset, got, wrong.Type)
	}
	if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("the data is not JSON from byte %d on", bad.Offset)
	}
	return "the data does not decode: " + err.Error()
}

// Mux hands events to handlers by their type.
//
//	var m autobus.Mux
//	m.On("orders.order.placed.v1", autobus.Typed(placed))
//	m.On("orders.*", other)
//	err := autobus.Work(ctx, bus, "billing", m.Handle)
//
// An event that no handler is for is tried again, since a newer worker of the subscription may have one, and in the end
// is a dead letter; On("*", ...) says what to do instead.
type Mux struct {
	routes []route
}

type route struct {
	pattern string
	handle  HandleFunc
}

// On adds a handler for the types that a pattern matches (see MatchType). The first that was added and matches gets the
// event. All have to be added before the first event comes. A pattern that cannot match is a mistake in the program: On
// panics.
func (m *Mux) On(pattern string, handle HandleFunc) {
	if !ValidPattern(pattern) || handle == nil {
		panic(fmt.Sprintf("autobus: Mux.On(%q): it takes a type or a pattern such as orders.*, and a handler", pattern))
	}
	m.routes = append(m.routes, route{pattern, handle})
}

// Handle is the Mux as a HandleFunc.
func (m *Mux) Handle(ctx context.Context, d *Delivery) error {
	for _, r := range m.routes {
		if MatchType(r.pattern, d.Type) {
			return r.handle(ctx, d)
		}
	}
	return fmt.Errorf("no handler is for events of type %s", d.Type)
}
