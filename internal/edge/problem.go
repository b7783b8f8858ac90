// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
)

// Exit statuses of commands. ExitCode gives those that follow from an error.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitFound       = 3 // a check found problems
	ExitUnreachable = 4 // or out of time
	ExitConfirm     = 5 // something destructive waits for a yes
)

// statusOfCode is the rule, statusOfReason its exceptions.
var statusOfCode = map[autobus.Code]int{
	autobus.InvalidArgument:    http.StatusBadRequest,
	autobus.NotFound:           http.StatusNotFound,
	autobus.AlreadyExists:      http.StatusConflict,
	autobus.FailedPrecondition: http.StatusConflict,
	autobus.PermissionDenied:   http.StatusForbidden,
	autobus.Unauthenticated:    http.StatusUnauthorized,
	autobus.ResourceExhausted:  http.StatusTooManyRequests,
	autobus.Unavailable:        http.StatusServiceUnavailable,
	autobus.DeadlineExceeded:   http.StatusGatewayTimeout,
	autobus.Aborted:            http.StatusConflict,
	autobus.Unimplemented:      http.StatusNotImplemented,
	autobus.Internal:           http.StatusInternalServerError,
}

var statusOfReason = map[autobus.Reason]int{
	autobus.ReasonTypeInvalid:         http.StatusUnprocessableEntity,
	autobus.ReasonTypeReserved:        http.StatusUnprocessableEntity,
	autobus.ReasonEventInvalid:        http.StatusUnprocessableEntity,
	autobus.ReasonDataInvalid:         http.StatusUnprocessableEntity,
	autobus.ReasonDataUnreadable:      http.StatusUnprocessableEntity,
	autobus.ReasonHeaderTooLarge:      http.StatusUnprocessableEntity,
	autobus.ReasonHeaderReserved:      http.StatusUnprocessableEntity,
	autobus.ReasonKeyMissing:          http.StatusUnprocessableEntity,
	autobus.ReasonKeyMismatch:         http.StatusUnprocessableEntity,
	autobus.ReasonKeyTooLarge:         http.StatusUnprocessableEntity,
	autobus.ReasonScheduleInvalid:     http.StatusUnprocessableEntity,
	autobus.ReasonSpecInvalid:         http.StatusUnprocessableEntity,
	autobus.ReasonSubscriptionInvalid: http.StatusUnprocessableEntity,
	autobus.ReasonOutcomeInvalid:      http.StatusUnprocessableEntity,
	autobus.ReasonConfigInvalid:       http.StatusUnprocessableEntity,
	autobus.ReasonReplyAddress:        http.StatusUnprocessableEntity,
	autobus.ReasonDeadlinePassed:      http.StatusUnprocessableEntity,
	autobus.ReasonContentType:         http.StatusUnsupportedMediaType,
	autobus.ReasonMediaType:           http.StatusUnsupportedMediaType,
	autobus.ReasonEventTooLarge:       http.StatusRequestEntityTooLarge,
	autobus.ReasonBatchTooLarge:       http.StatusRequestEntityTooLarge,
	autobus.ReasonMethodNotAllowed:    http.StatusMethodNotAllowed,
	autobus.ReasonNotDurable:          http.StatusServiceUnavailable,
	autobus.ReasonRouteMismatch:       http.StatusServiceUnavailable,
	autobus.ReasonControlLost:         http.StatusServiceUnavailable,
	autobus.ReasonClusterNotReady:     http.StatusServiceUnavailable,
}

// exitOfReason holds what is not ExitFailed.
var exitOfReason = map[autobus.Reason]int{
	autobus.ReasonRequestInvalid:      ExitUsage,
	autobus.ReasonModeInvalid:         ExitUsage,
	autobus.ReasonFilterInvalid:       ExitUsage,
	autobus.ReasonPositionInvalid:     ExitUsage,
	autobus.ReasonConfigInvalid:       ExitUsage,
	autobus.ReasonSpecInvalid:         ExitFound,
	autobus.ReasonSpecIncompatible:    ExitFound,
	autobus.ReasonClusterUnreachable:  ExitUnreachable,
	autobus.ReasonServerUnreachable:   ExitUnreachable,
	autobus.ReasonStarting:            ExitUnreachable,
	autobus.ReasonShuttingDown:        ExitUnreachable,
	autobus.ReasonOutcomeUnknown:      ExitUnreachable,
	autobus.ReasonReplyTimeout:        ExitUnreachable,
	autobus.ReasonConfirmationNeeded:  ExitConfirm,
	autobus.ReasonDatabaseUnreachable: ExitUnreachable,
	autobus.ReasonSinkInvalid:         ExitFound,
	autobus.ReasonSinkDrift:           ExitFound,
}

// Status is the HTTP status of an error; 200 for none.
func Status(err *autobus.Error) int {
	if err == nil {
		return http.StatusOK
	}
	if s, ok := statusOfReason[err.Reason]; ok {
		return s
	}
	if s, ok := statusOfCode[err.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// CloseCode is the WebSocket close code of a fatal error; 1000 for none.
func CloseCode(err *autobus.Error) int {
	if err == nil {
		return 1000
	}
	return 4000 + Status(err) - 400
}

// ExitCode is the exit status of a command that ends with the error.
func ExitCode(err *autobus.Error) int {
	if err == nil {
		return ExitOK
	}
	if exit, ok := exitOfReason[err.Reason]; ok {
		return exit
	}
	return ExitFailed
}

// Details is a problem as RFC 9457 and the wire protocol lay it out.
type Details struct {
	Type       string          `json:"type"`
	Title      string          `json:"title"`
	Status     int             `json:"status"`
	Code       autobus.Code    `json:"code"`
	Reason     autobus.Reason  `json:"reason"`
	Detail     string          `json:"detail"`
	Hint       string          `json:"hint,omitempty"`
	Retriable  bool            `json:"retriable"`
	RetryAfter string          `json:"retry_after,omitempty"`
	RequestID  string          `json:"request_id,omitempty"`
	Errors     []autobus.Fault `json:"errors,omitempty"`
}

// Problem tells an error in the words of the wire protocol. Its cause stays inside.
func Problem(err *autobus.Error, requestID string) Details {
	info := err.Reason.Info()
	d := Details{
		Type: "/problems/" + string(info.Reason), Title: info.Title, Status: Status(err), Code: err.Code,
		Reason: info.Reason, Detail: err.Detail, Hint: err.NextStep(), Retriable: err.Retriable(),
		RequestID: requestID, Errors: err.Faults,
	}
	if after := RetryAfter(err); after > 0 {
		d.RetryAfter = seconds(after)
	}
	return d
}

// RetryAfter says when to try again: what the error says, else a second where the status asks for an answer (429 and
// 503) and trying again can help; else 0.
func RetryAfter(err *autobus.Error) time.Duration {
	if err.RetryAfter > 0 {
		return err.RetryAfter
	}
	s := Status(err)
	if err.Retriable() && (s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable) {
		return time.Second
	}
	return 0
}

// SetRetryAfter sets the header in whole seconds, at least one; without a time to say it leaves it away.
func SetRetryAfter(h http.Header, after time.Duration) {
	if after > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
	}
}

func seconds(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return strconv.FormatFloat(d.Round(time.Millisecond).Seconds(), 'f', -1, 64) + "s"
}

// AppendProblem appends the problem as JSON on one line.
func AppendProblem(dst []byte, err *autobus.Error, requestID string) []byte {
	b := bytes.NewBuffer(dst)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	// Details holds nothing that cannot be encoded.
	_ = enc.Encode(Problem(err, requestID))
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// WriteProblem answers with the problem and its status. An error that is not an *autobus.Error is told as internal,
// its text goes to the log.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	e := autobus.AsError(err)
	LogCause(r, e)
	h := w.Header()
	if e.Reason == autobus.ReasonUnauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}
	SetRetryAfter(h, RetryAfter(e))
	body := append(AppendProblem(nil, e, RequestID(r.Context())), '\n')
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(Status(e))
	// A client that left does not read its answer; there is nobody to tell.
	_, _ = w.Write(body)
}

// LogCause logs why an internal error happened, which the client is not told.
func LogCause(r *http.Request, err *autobus.Error) {
	if err.Code == autobus.Internal {
		Logger(r.Context()).Error("internal error", slog.Any("cause", err.Cause), slog.String("detail", err.Detail),
			slog.String("request_id", RequestID(r.Context())), slog.String("path", r.URL.Path))
	}
}
