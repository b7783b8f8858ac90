// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func TestStatusOfReasons(t *testing.T) {
	want := map[autobus.Reason]int{
		autobus.ReasonTypeUnknown: 404, autobus.ReasonPathUnknown: 404, autobus.ReasonIDConflict: 409,
		autobus.ReasonPredecessorFailed: 409, autobus.ReasonEventTooLarge: 413, autobus.ReasonBatchTooLarge: 413,
		autobus.ReasonMediaType: 415, autobus.ReasonContentType: 415, autobus.ReasonDataInvalid: 422,
		autobus.ReasonDataUnreadable: 422, autobus.ReasonHeaderTooLarge: 422, autobus.ReasonKeyMissing: 422,
		autobus.ReasonKeyTooLarge: 422, autobus.ReasonTypeReserved: 422, autobus.ReasonBodyUnreadable: 400,
		autobus.ReasonModeInvalid: 400, autobus.ReasonFilterInvalid: 400, autobus.ReasonQuota: 429,
		autobus.ReasonCapacity: 503, autobus.ReasonStorageFull: 503, autobus.ReasonNotDurable: 503,
		autobus.ReasonRouteMismatch: 503, autobus.ReasonShuttingDown: 503, autobus.ReasonOutcomeUnknown: 504,
		autobus.ReasonMethodNotAllowed: 405, autobus.ReasonUnauthenticated: 401, autobus.ReasonForbidden: 403,
		autobus.ReasonOriginForbidden: 403, autobus.ReasonUnimplemented: 501, autobus.ReasonInternal: 500,
	}
	for reason, status := range want {
		if got := Status(autobus.NewError(reason, "")); got != status {
			t.Errorf("%s: status %d, want %d", reason, got, status)
		}
	}
	for _, info := range autobus.Reasons() {
		err := autobus.NewError(info.Reason, "")
		// Bad input is never the server's fault, and only a fault is 500.
		if s := Status(err); s < 400 || s > 599 || (s == 500) != (info.Reason == autobus.ReasonInternal) {
			t.Errorf("%s: status %d", info.Reason, s)
		}
		if c := CloseCode(err); c != 4000+Status(err)-400 {
			t.Errorf("%s: close code %d", info.Reason, c)
		}
		if e := ExitCode(err); e < ExitFailed || e > ExitConfirm {
			t.Errorf("%s: exit status %d", info.Reason, e)
		}
	}
	if Status(nil) != 200 || CloseCode(nil) != 1000 || ExitCode(nil) != 0 {
		t.Error("no error has a status of an error")
	}
}

func TestExitCodes(t *testing.T) {
	for reason, want := range map[autobus.Reason]int{
		autobus.ReasonDataInvalid: ExitFailed, autobus.ReasonForbidden: ExitFailed, autobus.ReasonFilterInvalid: ExitUsage,
		autobus.ReasonConfigInvalid: ExitUsage, autobus.ReasonSpecInvalid: ExitFound,
		autobus.ReasonClusterUnreachable: ExitUnreachable, autobus.ReasonOutcomeUnknown: ExitUnreachable,
		autobus.ReasonConfirmationNeeded: ExitConfirm,
	} {
		if got := ExitCode(autobus.NewError(reason, "")); got != want {
			t.Errorf("%s: %d, want %d", reason, got, want)
		}
	}
}

func TestProblemJSON(t *testing.T) {
	err := autobus.NewError(autobus.ReasonDataInvalid, "<1> fault")
	err.Faults = []autobus.Fault{{Pointer: "/total", Rule: "type", Want: "number", Got: "string"}}
	want := `{"type":"/problems/data_invalid","title":"The data does not match the type's schema.","status":422,` +
		`"code":"invalid_argument","reason":"data_invalid","detail":"<1> fault",` +
		`"hint":"Mend the fields that errors points at; the schema is at GET /v1/types/{type}.","retriable":false,` +
		`"request_id":"r1","errors":[{"pointer":"/total","rule":"type","want":"number","got":"string"}]}`
	if got := string(AppendProblem([]byte("x"), err, "r1")); got != "x"+want {
		t.Errorf("got  %s\nwant x%s", got, want)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		reason       autobus.Reason
		after        time.Duration
		body, header string
	}{
		{autobus.ReasonCapacity, 0, "1s", "1"}, {autobus.ReasonCapacity, 200 * time.Millisecond, "200ms", "1"},
		{autobus.ReasonQuota, 1500 * time.Millisecond, "1.5s", "2"}, {autobus.ReasonQuota, 90 * time.Second, "90s", "90"},
		{autobus.ReasonNotDurable, 0, "1s", "1"}, {autobus.ReasonPredecessorFailed, 0, "", ""},
	} {
		err := autobus.NewError(c.reason, "")
		err.RetryAfter = c.after
		w := httptest.NewRecorder()
		WriteProblem(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
		if got := Problem(err, "").RetryAfter; got != c.body || w.Header().Get("Retry-After") != c.header {
			t.Errorf("%s %s: retry_after %q, Retry-After %q", c.reason, c.after, got, w.Header().Get("Retry-After"))
		}
	}
}

func TestForeignErrorsStayInside(t *testing.T) {
	w := httptest.NewRecorder()
	WriteProblem(w, httptest.NewRequest(http.MethodGet, "/", nil), errors.New("the password is 123"))
	if w.Code != http.StatusInternalServerError || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", w.Code, w.Header())
	}
	if body := w.Body.String(); !containsAll(body, `"reason":"internal"`) || containsAll(body, "123") {
		t.Errorf("body %s", body)
	}
}
