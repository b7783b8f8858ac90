// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

func xs(n int) string { return strings.Repeat("x", n) }

func TestBadInput(t *testing.T) {
	bus := &fakeBus{}
	s := serve(t, bus, open(), Config{})
	const (
		typed = "/v1/events/" + placed
		js    = "application/json"
		one   = "application/cloudevents+json"
		batch = "application/cloudevents-batch+json"
		lines = "application/x-ndjson"
	)
	many := strings.Repeat(structured(``)+",", autobus.MaxBatchEvents) + structured(``)
	var extensions []string
	for i := range autobus.MaxExtensions + 1 {
		extensions = append(extensions, fmt.Sprintf("ce-x%d", i), "1")
	}
	for _, c := range []struct {
		name, path, media, body string
		headers                 []string
		status                  int
		reason                  autobus.Reason // of the problem, else of the only result
	}{
		{"unreadable data", typed, js, `{"a":`, nil, 400, autobus.ReasonBodyUnreadable},
		{"empty data", typed, js, ``, nil, 400, autobus.ReasonBodyUnreadable},
		{"unreadable event", "/v1/events", one, `{"specversion"`, nil, 400, autobus.ReasonBodyUnreadable},
		{"unreadable data in an event", "/v1/events", one, structured(`,"data":{x}`), nil, 400, autobus.ReasonBodyUnreadable},
		{"unreadable batch", "/v1/events", batch, `[` + structured(``), nil, 400, autobus.ReasonBodyUnreadable},
		{"batch is no array", "/v1/events", batch, structured(``), nil, 400, autobus.ReasonBodyUnreadable},
		{"attribute twice", "/v1/events", one, structured(`,"id":"1","id":"2"`), nil, 422, autobus.ReasonEventInvalid},
		{"not an object", "/v1/events", one, `"x"`, nil, 422, autobus.ReasonEventInvalid},
		{"no type", "/v1/events", one, `{"specversion":"1.0"}`, nil, 422, autobus.ReasonEventInvalid},
		{"reserved attribute", "/v1/events", one, structured(`,"autobusepoch":"1"`), nil, 422, autobus.ReasonHeaderReserved},
		{"reserved ce header", typed, js, `{}`, []string{"ce-autobus-epoch", "1"}, 422, autobus.ReasonHeaderReserved},
		{"reserved header", typed, js, `{}`, []string{"autobus-epoch", "1"}, 422, autobus.ReasonHeaderReserved},
		{"other version", typed, js, `{}`, []string{"ce-specversion", "0.3"}, 422, autobus.ReasonEventInvalid},
		{"binary without version", "/v1/events", js, `{}`, []string{"ce-type", placed}, 422, autobus.ReasonEventInvalid},
		{"binary without type", "/v1/events", js, `{}`, []string{"ce-specversion", "1.0"}, 422, autobus.ReasonEventInvalid},
		{"other type", typed, js, `{}`, []string{"ce-type", "x.y.v1"}, 422, autobus.ReasonEventInvalid},
		{"header twice", typed, js, `{}`, []string{"ce-id", "1", "ce-id", "2"}, 422, autobus.ReasonEventInvalid},
		{"percent", typed, js, `{}`, []string{"ce-subject", "100%"}, 422, autobus.ReasonEventInvalid},
		{"bad UTF-8", typed, js, `{}`, []string{"ce-subject", "%ff"}, 422, autobus.ReasonEventInvalid},
		{"hidden newline", typed, js, `{}`, []string{"ce-subject", "a%0d%0ab"}, 422, autobus.ReasonEventInvalid},
		{"open quote", typed, js, `{}`, []string{"ce-subject", `"a`}, 422, autobus.ReasonEventInvalid},
		{"time", typed, js, `{}`, []string{"ce-time", "yesterday"}, 422, autobus.ReasonEventInvalid},
		{"two content types", typed, js, `{}`, []string{"ce-datacontenttype", "a/b"}, 422, autobus.ReasonEventInvalid},
		{"long value", typed, js, `{}`, []string{"ce-x", xs(4097)}, 422, autobus.ReasonHeaderTooLarge},
		{"65 extensions", typed, js, `{}`, extensions, 422, autobus.ReasonHeaderTooLarge},
		{"long id", typed, js, `{}`, []string{"ce-id", xs(129)}, 422, autobus.ReasonHeaderTooLarge},
		{"long key", typed, js, `{}`, []string{"ce-partitionkey", xs(1025)}, 422, autobus.ReasonKeyTooLarge},
		{"empty idempotency key", typed, js, `{}`, []string{"Idempotency-Key", ""}, 400, autobus.ReasonRequestInvalid},
		{"key of a batch", "/v1/events", batch, `[]`, []string{"Idempotency-Key", "x"}, 400, autobus.ReasonRequestInvalid},
		{"id of a stream", typed, lines, `{}`, []string{"ce-id", "x"}, 400, autobus.ReasonRequestInvalid},
		{"no media type", typed, "", `{}`, nil, 415, autobus.ReasonMediaType},
		{"curl's own media type", typed, "application/x-www-form-urlencoded", `{}`, nil, 415, autobus.ReasonMediaType},
		{"JSON without a type", "/v1/events", js, `{}`, nil, 415, autobus.ReasonMediaType},
		{"avro", "/v1/events", "application/cloudevents+avro", ``, []string{"ce-type", "x"}, 415, autobus.ReasonMediaType},
		{"charset", typed, "application/json; charset=koi8-r", `{}`, nil, 415, autobus.ReasonMediaType},
		{"unreadable media type", typed, ";;", `{}`, nil, 415, autobus.ReasonMediaType},
		{"compressed", typed, js, `{}`, []string{"Content-Encoding", "gzip"}, 415, autobus.ReasonMediaType},
		{"large event", typed, js, `"` + xs(autobus.MaxEventBytes) + `"`, nil, 413, autobus.ReasonEventTooLarge},
		{"large body", typed, js, xs(maxSingle + 1), nil, 413, autobus.ReasonEventTooLarge},
		{"large batch", "/v1/events", batch, xs(autobus.MaxBatchBytes + 1), nil, 413, autobus.ReasonBatchTooLarge},
		{"1001 events", "/v1/events", batch, "[" + many + "]", nil, 413, autobus.ReasonBatchTooLarge},
		{"atomic", typed + "?mode=atomic", js, `{}`, nil, 400, autobus.ReasonModeInvalid},
		{"empty mode", typed + "?mode=", js, `{}`, nil, 400, autobus.ReasonModeInvalid},
		{"two modes", typed + "?mode=ordered&mode=ordered", js, `{}`, nil, 400, autobus.ReasonRequestInvalid},
		{"timeout over a minute", typed + "?timeout=61s", js, `{}`, nil, 400, autobus.ReasonRequestInvalid},
		{"timeout zero", typed + "?timeout=0s", js, `{}`, nil, 400, autobus.ReasonRequestInvalid},
		{"timeout word", typed + "?timeout=soon", js, `{}`, nil, 400, autobus.ReasonRequestInvalid},
		{"unknown parameter", typed + "?color=red", js, `{}`, nil, 400, autobus.ReasonRequestInvalid},
		{"broken query", typed + "?mode=%zz", js, `{}`, nil, 400, autobus.ReasonRequestInvalid},
		{"deliver_at", typed + "?deliver_at=tomorrow", js, `{}`, nil, 422, autobus.ReasonScheduleInvalid},
		{"delay", typed + "?delay=-1s", js, `{}`, nil, 422, autobus.ReasonScheduleInvalid},
		{"long delay", typed + "?delay=876000h", js, `{}`, nil, 422, autobus.ReasonScheduleInvalid},
		{"both", typed + "?delay=1s&deliver_at=2030-01-01T00:00:00Z", js, `{}`, nil, 422, autobus.ReasonScheduleInvalid},
		{"deliverat", "/v1/events?delay=1s", one, structured(`,"deliverat":"2030-01-01T00:00:00Z"`), nil, 422,
			autobus.ReasonScheduleInvalid},
	} {
		headers := c.headers
		if c.media != "" {
			headers = append(headers, "Content-Type", c.media)
		}
		a := s.do(t, http.MethodPost, c.path, c.body, headers...)
		reason := a.Reason
		if len(a.Results) == 1 {
			reason = a.Results[0].reason()
		}
		if a.Status != c.status || reason != c.reason {
			t.Errorf("%s: %d %s, want %d %s: %.300s", c.name, a.Status, reason, c.status, c.reason, a.Body)
		}
		if a.Reason != "" && a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: the problem comes as %q", c.name, a.Header.Get("Content-Type"))
		}
	}
	if got := bus.events(); len(got) != 0 {
		t.Errorf("%d refused events are in the log", len(got))
	}
	if a := s.post(t, typed+"?timout=1s", js, `{}`); a.Hint != "Did you mean timeout?" {
		t.Errorf("hint %q", a.Hint)
	}
}

func TestProblemPages(t *testing.T) {
	s := serve(t, &fakeBus{}, open(), Config{})
	for _, info := range autobus.Reasons() {
		a := s.do(t, http.MethodGet, "/problems/"+string(info.Reason), "")
		if a.Status != http.StatusOK || a.Reason != info.Reason || a.Hint != info.Hint {
			t.Errorf("%s: %d %s", info.Reason, a.Status, a.Body)
		}
	}
	a := s.do(t, http.MethodGet, "/problems/nonsense", "")
	if a.Status != http.StatusNotFound || a.Reason != autobus.ReasonPathUnknown {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/problems/quota", nil)
	req.Header.Set("Accept", "text/html,*/*")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/html; charset=utf-8" {
		t.Errorf("a browser gets %s", ct)
	}
}
