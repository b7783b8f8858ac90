// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// The exit statuses. They are public: scripts depend on them.
const (
	exitOK          = edge.ExitOK
	exitFailed      = edge.ExitFailed
	exitUsage       = edge.ExitUsage
	exitFound       = edge.ExitFound
	exitUnreachable = edge.ExitUnreachable
	exitConfirm     = edge.ExitConfirm
	exitInterrupted = 130
)

// exitCodes is the paragraph of a command's help that lists its exit statuses.
func exitCodes(codes ...int) string {
	var b strings.Builder
	b.WriteString("Exit status:")
	for _, c := range codes {
		fmt.Fprintf(&b, "\n  %-3d %s", c, exitMeaning(c))
	}
	return b.String()
}

func exitMeaning(code int) string {
	switch code {
	case exitOK:
		return "ok"
	case exitFailed:
		return "failed, or something was refused"
	case exitUsage:
		return "the command line or the configuration is wrong; nothing was done"
	case exitFound:
		return "problems were found, by a check or in the specs"
	case exitUnreachable:
		return "unreachable, out of time, or the outcome is unknown"
	case exitConfirm:
		return "confirmation needed: the plan was printed, nothing was changed"
	default:
		return "interrupted"
	}
}

// exitError ends a command with a status. err is nil when all there is to say was said.
type exitError struct {
	code int
	err  *autobus.Error
	// requestID names the request at the bus whose answer err is.
	requestID string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error {
	if e.err == nil {
		return nil
	}
	return e.err
}

// usageError is a command line that makes no sense.
type usageError struct{ err *autobus.Error }

// WithHint says what to type instead.
func (e usageError) WithHint(format string, args ...any) error {
	return &exitError{code: exitUsage, err: e.err.WithHint(format, args...)}
}

// usage begins an error of usage. It is none before WithHint has ended it.
func usage(format string, args ...any) usageError {
	return usageError{autobus.NewError(autobus.ReasonRequestInvalid, format, args...)}
}

// exit reports err on stderr and gives the status.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	ee, ok := err.(*exitError) //nolint:errorlint // one that is wrapped was given other words on the way
	switch {
	case ok:
	case !a.started: // cobra's own: unknown command, unknown flag, wrong arguments
		ee = &exitError{code: exitUsage, err: autobus.NewError(autobus.ReasonRequestInvalid, "%s", err).
			WithHint("Run the command with --help.")}
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		e := asError(err)
		ee = &exitError{code: edge.ExitCode(e), err: e}
	}
	if ee.err != nil {
		a.report(ee.err, ee.requestID)
	}
	return ee.code
}

// asError keeps the text of an error that is not the bus's own: on a terminal, unlike over the network, the person
// who reads it is the one whose files and sockets it names.
func asError(err error) *autobus.Error {
	if e, ok := errors.AsType[*autobus.Error](err); ok {
		return e
	}
	return autobus.NewError(autobus.ReasonInternal, "%s", err).
		WithHint("If this looks like a fault of autobus, report it with the output of autobus version.").WithCause(err)
}

// report writes an error to stderr: what happened, where, what to do next; under -o json a problem document.
func (a *app) report(e *autobus.Error, requestID string) {
	if a.output == "json" || a.output == "ndjson" {
		doc, err := json.Marshal(edge.Problem(e, requestID))
		if err == nil {
			fmt.Fprintf(a.err, "%s\n", doc)
			return
		}
	}
	detail := e.Detail
	if detail == "" {
		detail = e.Reason.Info().Title
	}
	fmt.Fprintf(a.err, "%s %s\n", a.paint(a.err, red, string(e.Reason)+":"), detail)
	for _, f := range e.Faults {
		fmt.Fprintf(a.err, "  %s\n", faultLine(f))
	}
	if next := e.NextStep(); next != "" {
		fmt.Fprintf(a.err, "  next: %s\n", next)
	}
	if requestID != "" {
		fmt.Fprintf(a.err, "  request id: %s\n", requestID)
	}
}

func faultLine(f autobus.Fault) string {
	s := f.Pointer
	if s == "" {
		s = "(the data itself)"
	}
	s += "  " + f.Rule
	if f.Want != "" {
		s += ": want " + f.Want
	}
	if f.Got != "" {
		s += ", got " + f.Got
	}
	return s
}
