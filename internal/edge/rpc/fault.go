// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// Codes of JSON-RPC 2.0. serverError is the one of the bus's own range: what it means, the problem in data says.
const (
	parseError     = -32700
	invalidRequest = -32600
	unknownMethod  = -32601
	invalidParams  = -32602
	serverError    = -32000
)

// fault is an error object.
type fault struct {
	Code    int64  `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

func newFault(code int64, message string) *fault { return &fault{Code: code, Message: message} }

// invalid says what a body that is JSON lacks to be a call.
func invalid(why string) *fault {
	return &fault{Code: invalidRequest, Message: "Invalid Request", Data: why}
}

// unreadable says where a body stops being JSON.
func unreadable(body []byte) *fault {
	f := newFault(parseError, "Parse error")
	if !utf8.Valid(body) { // encoding/json passes it on, and an id of it would be in the answer
		f.Data = "it is not UTF-8"
	}
	var v json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &v)); ok {
		f.Data = "at byte " + strconv.FormatInt(syntax.Offset, 10) + ": " + syntax.Error()
	}
	return f
}

var null = json.RawMessage("null")

// busFault tells an error of the bus; the problem is in data.
func busFault(err *autobus.Error, requestID string) *fault {
	f := newFault(serverError, err.Reason.Info().Title)
	switch err.Reason {
	case autobus.ReasonTypeUnknown, autobus.ReasonTypeInvalid, autobus.ReasonTypeReserved:
		f = newFault(unknownMethod, "Method not found")
	case autobus.ReasonDataInvalid, autobus.ReasonDataUnreadable, autobus.ReasonKeyMissing, autobus.ReasonKeyMismatch,
		autobus.ReasonKeyTooLarge, autobus.ReasonContentType:
		f = newFault(invalidParams, "Invalid params")
	default:
	}
	f.Data = edge.Problem(err, requestID)
	return f
}

// declaredFault is the error that a responder declares. One that is an error of JSON-RPC itself, as specs have it, is
// told as it is; every other is the data of one.
func declaredFault(r *ipc.Reply) *fault {
	var own struct {
		Code    *int64          `json:"code"`
		Message *string         `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if r.IsJSON() && json.Unmarshal(r.Data, &own) == nil && own.Code != nil && own.Message != nil {
		f := newFault(*own.Code, *own.Message)
		if own.Data != nil {
			f.Data = own.Data
		}
		return f
	}
	f := newFault(serverError, r.Error)
	if r.IsJSON() && json.Valid(r.Data) {
		f.Data = json.RawMessage(r.Data)
	}
	return f
}

// respond appends a response object with a result, or an error. The result is the reply's data, byte for byte.
func respond(dst []byte, id json.RawMessage, result []byte, f *fault) []byte {
	if id == nil {
		id = null
	}
	dst = append(append(dst, `{"jsonrpc":"2.0","id":`...), id...)
	switch {
	case f != nil:
		b, _ := json.Marshal(f) // it is made of what JSON can say
		dst = append(append(dst, `,"error":`...), b...)
	case result == nil:
		dst = append(dst, `,"result":null`...)
	default:
		dst = append(append(dst, `,"result":`...), result...)
	}
	return append(dst, '}')
}
