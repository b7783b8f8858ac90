// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/autobus-io/autobus"
)

// Reply is the answer of one responder.
type Reply struct {
	autobus.Event

	// Responder is the subscription whose worker replied, as the bus checked it; where the bus could not tell, it is the
	// reply's source.
	Responder string
	Error     string // name of the error that it is; "" = it is none
}

// ReplyOf reads a reply that came as an event.
func ReplyOf(e *autobus.Event) *Reply {
	r := &Reply{Event: *e}
	r.Responder, _ = e.Ext(autobus.ExtResponder)
	r.Responder = cmp.Or(r.Responder, e.Source)
	r.Error, _ = e.Ext(autobus.ExtError)
	return r
}

// Decode reads the JSON data into v.
func (r *Reply) Decode(v any) error {
	if err := json.Unmarshal(r.Data, v); err != nil {
		return autobus.NewError(autobus.ReasonDataUnreadable, "the reply of %s does not decode", r.Responder).WithCause(err)
	}
	return nil
}

// Err is the error that a reply is; nil for an answer.
func (r *Reply) Err() error {
	switch r.Error {
	case "":
		return nil
	case autobus.ErrorProblem:
		var p problem
		_ = json.Unmarshal(r.Data, &p) // the bus has seen that it is one
		return autobus.NewError(autobus.ReasonResponderFailed, "%s could not answer: %s: %s", r.Responder, p.Reason, p.Detail)
	}
	return &ErrorReply{Name: r.Error, Reply: r}
}

// ErrorReply is a reply by which a responder says, as its spec declares, that it did not do what was asked.
type ErrorReply struct {
	Name  string // of the message; its data is that of Reply
	Reply *Reply
}

// Error names the error and who says it.
func (e *ErrorReply) Error() string { return fmt.Sprintf("%s answered %s", e.Reply.Responder, e.Name) }

// problem is the data of a reply that tells why there is no answer.
type problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"`
	Code   autobus.Code   `json:"code"`
	Reason autobus.Reason `json:"reason"`
	Detail string         `json:"detail,omitempty"`
}

// mediaProblem is its content type.
const mediaProblem = "application/problem+json"

func problemOf(err *autobus.Error) Raw {
	info := err.Reason.Info()
	b, _ := json.Marshal(problem{Type: "/problems/" + string(err.Reason), Title: info.Title, Code: err.Code,
		Reason: err.Reason, Detail: err.Detail}) // it is made of what JSON can say
	return Raw{ContentType: mediaProblem, Data: b}
}

// Raw is an answer that is data already, of whatever content type.
type Raw struct {
	ContentType string // "" = application/json
	Data        []byte
}

// Error is returned by a handler that answers by an error that the spec declares: Name is that of a reply with x-error:
// true, Data what it says. The request is done by it.
type Error struct {
	Name string
	Data any
}

// Error names it.
func (e *Error) Error() string { return "the request is answered by the error " + e.Name }
