// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxReason is what is kept of a reason, in bytes: it may be the text of any error.
const maxReason = 1 << 10

// verdict is an error that says what becomes of the event.
type verdict struct {
	kind  OutcomeKind
	delay time.Duration
	text  string
	cause error
}

func (v *verdict) Error() string { return v.text }
func (v *verdict) Unwrap() error { return v.cause }

// RetryAfter is returned by a handler whose event should come again after d, at most MaxRetryDelay; 0 = by the
// subscription's backoff, as with every other error. It counts as an attempt.
func RetryAfter(d time.Duration, err error) error {
	d = min(max(d, 0), time.Duration(MaxRetryDelay))
	return &verdict{Retry, d, text(err, fmt.Sprintf("again after %s", d)), err}
}

// Skipped is returned by a handler that has nothing to do for the event: it is done, and counted apart.
func Skipped(reason string) error {
	if reason == "" {
		reason = "skipped"
	}
	return &verdict{kind: Skip, text: reason}
}

// Rejected is returned by a handler for whom no further attempt would help: the event goes to the dead letters at once,
// or is dropped, as the subscription says.
func Rejected(err error) error {
	return &verdict{kind: Reject, text: text(err, "rejected"), cause: err}
}

func text(err error, otherwise string) string {
	if err == nil {
		return otherwise
	}
	return err.Error()
}

// OutcomeOf is what a Worker makes of a handler's error: Ack of nil, what RetryAfter, Skipped and Rejected say, the
// outermost of them where they are wrapped, and Retry of everything else. The reason is the error's text, of at most
// 1 KiB.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Outcome{Kind: Ack}
	}
	o := Outcome{Kind: Retry, Reason: clipReason(err.Error())}
	if v, ok := errors.AsType[*verdict](err); ok {
		o.Kind, o.Delay = v.kind, v.delay
	}
	return o
}

// SaysOutcome reports whether an error says itself what becomes of the event, as RetryAfter, Skipped and Rejected make
// it do; every other one merely happened.
func SaysOutcome(err error) bool {
	_, said := errors.AsType[*verdict](err)
	return said
}

func clipReason(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxReason)], "\uFFFD")
}

// Errors is returned by a batch handler for events that end differently: one error per event, in their order, nil for
// those that are done; none at all says that all are. Another length is a fault of the handler, and then every event is
// tried again, as it is when Errors are joined with another error.
type Errors []error

// Error counts them and gives the first.
func (es Errors) Error() string {
	n, first := 0, ""
	for _, err := range es {
		if err == nil {
			continue
		}
		if n == 0 {
			first = err.Error()
		}
		n++
	}
	if n == 0 {
		return "no errors"
	}
	return fmt.Sprintf("%d of %d events: %s", n, len(es), first)
}

// ownErrors gives the Errors that an error is, or wraps as the only one. What is joined with another error failed as a
// whole: that a commit failed would be lost otherwise on events that were done but for it.
func ownErrors(err error) (es Errors, ok bool) {
	for err != nil {
		if es, ok = err.(Errors); ok { //nolint:errorlint // it goes down itself
			return es, true
		}
		if joined, several := err.(interface{ Unwrap() []error }); several {
			all := joined.Unwrap()
			if len(all) != 1 {
				return nil, false
			}
			err = all[0]
			continue
		}
		err = errors.Unwrap(err)
	}
	return nil, false
}

// perEvent says what the error of a batch handler means for each of its n events.
func perEvent(err error, n int) []error {
	out := make([]error, n)
	if err == nil {
		return out
	}
	if es, ok := ownErrors(err); ok {
		if len(es) == n || len(es) == 0 {
			copy(out, es)
			return out
		}
		err = fmt.Errorf("the handler of a batch gave %d errors for %d events: %w", len(es), n, err)
	}
	for i := range out {
		out[i] = err
	}
	return out
}
