// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"errors"
	"fmt"
	"time"
)

// Code classifies errors. The set is closed; its names are those of gRPC where they mean the same.
type Code string

// The codes.
const (
	InvalidArgument    Code = "invalid_argument"    // the input is wrong, whoever sends it
	NotFound           Code = "not_found"           // no such thing
	AlreadyExists      Code = "already_exists"      // the thing exists with other content
	FailedPrecondition Code = "failed_precondition" // the state of the system forbids it
	PermissionDenied   Code = "permission_denied"   // known, but not allowed
	Unauthenticated    Code = "unauthenticated"     // nobody known
	ResourceExhausted  Code = "resource_exhausted"  // a quota or a buffer is full
	Unavailable        Code = "unavailable"         // try again
	DeadlineExceeded   Code = "deadline_exceeded"   // time ran out, the outcome is unknown
	Aborted            Code = "aborted"             // something it depends on failed
	Unimplemented      Code = "unimplemented"       // not offered
	Internal           Code = "internal"            // a fault of the bus; never the answer to bad input
)

// Error is the one error of the bus. Code and Reason are stable and meant for programs; the rest is for people.
type Error struct {
	Code       Code
	Reason     Reason
	Detail     string        // what went wrong, with the values at hand
	Hint       string        // what to do next; empty = the reason's own
	RetryAfter time.Duration // when to try again; 0 = not said
	Faults     []Fault       // where the data is wrong
	Cause      error         // for errors.Is and the log; never sent to a client
}

// Fault points at one wrong place of an event's data.
type Fault struct {
	Pointer string `json:"pointer"` // JSON pointer relative to the data, "" = the data itself
	Rule    string `json:"rule"`    // the JSON Schema keyword, or undeclared, duplicate, utf8, depth
	Want    string `json:"want,omitempty"`
	Got     string `json:"got,omitempty"`
}

// NewError makes an error of a reason; its code comes with the reason.
func NewError(r Reason, format string, args ...any) *Error {
	return &Error{Code: r.Info().Code, Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// WithHint sets what to do next and returns the error.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithCause keeps the error below for errors.Is and the log, and returns the error.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}

// Error gives reason and detail.
func (e *Error) Error() string {
	s := string(e.Reason)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is compare by reason.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Reason == e.Reason
}

// Retriable reports whether the same attempt may succeed later, unchanged.
func (e *Error) Retriable() bool { return e.Reason.Info().Retriable }

// NextStep is the hint of this error, else of its reason.
func (e *Error) NextStep() string {
	if e.Hint != "" {
		return e.Hint
	}
	return e.Reason.Info().Hint
}

// AsError returns err as an *Error. What is not one becomes ReasonInternal: its text is the Cause, for the log only.
// nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return NewError(ReasonInternal, "an internal error; the log has it under the request id").WithCause(err)
}
