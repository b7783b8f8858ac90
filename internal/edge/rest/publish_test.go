// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

const placed = "orders.order.placed.v1"

func structured(members string) string {
	return `{"specversion":"1.0","type":"` + placed + `"` + members + `}`
}

func TestContentModes(t *testing.T) {
	at := time.Date(2026, 1, 31, 15, 4, 5, 0, time.FixedZone("", 3*3600))
	full := autobus.Event{ID: "7", Source: "/shop", Type: placed, Subject: "заказ 100%", Time: at,
		ContentType: "application/json", Data: []byte(`{"total" : 1.50}`),
		Extensions: []autobus.Extension{{Name: "partitionkey", Value: "k"}}}
	headers := []string{"ce-id", "7", "ce-source", "/shop", "ce-time", "2026-01-31T15:04:05%2B03:00",
		"ce-subject", "%D0%B7%D0%B0%D0%BA%D0%B0%D0%B7 100%25", "ce-partitionkey", `"k"`}
	whole := structured(`,"id":"7","source":"/shop","subject":"заказ 100%","time":"2026-01-31T15:04:05+03:00",` +
		`"datacontenttype":"application/json","partitionkey":"k","data":{"total" : 1.50}`)
	for _, c := range []struct {
		name, path, media, body string
		headers                 []string
	}{
		{"structured", "/v1/events", "application/cloudevents+json; charset=UTF-8", whole, nil},
		{"batch", "/v1/events", "application/cloudevents-batch+json", "[" + whole + "]", nil},
		{"stream of whole events", "/v1/events", "application/x-ndjson", whole, nil},
		{"binary", "/v1/events", "application/json", `{"total" : 1.50}`,
			append(headers, "ce-specversion", "1.0", "ce-type", placed)},
		{"typed", "/v1/events/" + placed, "application/json; charset=utf-8", `{"total" : 1.50}`, headers},
	} {
		t.Run(c.name, func(t *testing.T) {
			bus := &fakeBus{}
			a := serve(t, bus, open(), Config{}).post(t, c.path, c.media, c.body, c.headers...)
			if a.Status != http.StatusOK || len(a.Results) != 1 || a.Results[0].Status != "written" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			r := a.Results[0]
			if r.ID != "7" || r.Type != placed || r.Partition == nil || *r.Partition != 3 || r.Offset == nil || *r.Offset != 0 {
				t.Errorf("result %s", a.Body)
			}
			if a.Header.Get("X-Request-Id") == "" {
				t.Error("the answer has no request id")
			}
			got := bus.events()[0]
			if got.ID != full.ID || got.Source != full.Source || got.Type != full.Type || got.Subject != full.Subject ||
				!got.Time.Equal(full.Time) || got.ContentType != full.ContentType || string(got.Data) != string(full.Data) ||
				!slices.Equal(got.Extensions, full.Extensions) {
				t.Errorf("got %+v\nwant %+v", got, full)
			}
		})
	}
}

func TestFilledInAttributesAreReturned(t *testing.T) {
	s := serve(t, &fakeBus{}, open(), Config{})
	a := s.post(t, "/v1/events/"+placed, "application/json", `{}`)
	if a.Results[0].ID != "made-0" || a.Results[0].Source != "/dev" {
		t.Errorf("the answer does not tell id and source: %s", a.Body)
	}
	a = s.post(t, "/v1/events/"+placed, "application/json", `{}`, "ce-source", "/own")
	if a.Results[0].Source != "" {
		t.Errorf("the answer repeats the caller's own source: %s", a.Body)
	}
}

func TestIdempotencyKeyBecomesTheID(t *testing.T) {
	bus := &fakeBus{}
	s := serve(t, bus, open(), Config{})
	s.post(t, "/v1/events/"+placed, "application/json", `{}`, "Idempotency-Key", `"a b"`)
	s.post(t, "/v1/events/"+placed, "application/json", `{}`, "Idempotency-Key", "k", "ce-id", "own")
	s.post(t, "/v1/events", "application/cloudevents+json", structured(``), "Idempotency-Key", "k2")
	var ids []string
	for _, e := range bus.events() {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []string{"a b", "own", "k2"}) {
		t.Errorf("ids %q", ids)
	}
}

func TestTraceContext(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	bus := &fakeBus{}
	s := serve(t, bus, open(), Config{})
	s.post(t, "/v1/events/"+placed, "application/json", `{}`,
		"traceparent", parent, "tracestate", "a=1", "tracestate", "b=2")
	s.post(t, "/v1/events", "application/cloudevents-batch+json",
		"["+structured(``)+","+structured(`,"traceparent":"own"`)+"]", "traceparent", parent)
	s.post(t, "/v1/events/"+placed, "application/json", `{}`, "traceparent", strings.Repeat("x", 600))
	var got []string
	for _, e := range bus.events() {
		p, _ := e.Ext(autobus.ExtTraceParent)
		st, _ := e.Ext(autobus.ExtTraceState)
		got = append(got, p+" "+st)
	}
	if want := []string{parent + " a=1,b=2", parent + " ", "own ", " "}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestBatchLandsWithoutItsBadElements(t *testing.T) {
	bus := &fakeBus{}
	a := serve(t, bus, open(), Config{}).post(t, "/v1/events", "application/cloudevents-batch+json", "["+
		structured(`,"id":"0"`)+`,{"specversion":"1.0","id":"1"},7,`+structured(`,"id":"3","autobusepoch":"1"`)+","+
		structured(`,"id":"4","data":{`+"\n"+`"a":tru}`)+","+structured(`,"id":"5"`)+"]")
	if a.Status != http.StatusMultiStatus {
		t.Errorf("status %d", a.Status)
	}
	want := []struct {
		id, status string
		reason     autobus.Reason
	}{
		{"0", "written", ""}, {"1", "refused", autobus.ReasonEventInvalid}, {"", "refused", autobus.ReasonEventInvalid},
		{"3", "refused", autobus.ReasonHeaderReserved}, {"4", "refused", autobus.ReasonDataUnreadable}, {"5", "written", ""},
	}
	if len(a.Results) != len(want) {
		t.Fatalf("%d results: %s", len(a.Results), a.Body)
	}
	for i, w := range want {
		r := a.Results[i]
		if r.Index != i || r.ID != w.id || r.Status != w.status || r.reason() != w.reason {
			t.Errorf("result %d: %+v, want %+v", i, r, w)
		}
		if r.Error != nil && (r.Error.Type != "/problems/"+string(w.reason) ||
			r.Error.RequestID != a.Header.Get("X-Request-Id")) {
			t.Errorf("result %d: its problem is %+v", i, r.Error)
		}
	}
	if n := len(bus.events()); n != 2 {
		t.Errorf("%d events in the log", n)
	}
	a = serve(t, bus, open(), Config{}).post(t, "/v1/events", "application/cloudevents-batch+json", " [ ] ")
	if a.Status != http.StatusOK || a.Body != "{\"results\":[]}\n" {
		t.Errorf("empty batch: %d %s", a.Status, a.Body)
	}
}

func TestOneStatusForManyResults(t *testing.T) {
	reasons := map[string]autobus.Reason{"conflict": autobus.ReasonIDConflict, "invalid": autobus.ReasonDataInvalid,
		"capacity": autobus.ReasonCapacity, "quota": autobus.ReasonQuota, "forbidden": autobus.ReasonForbidden,
		"type": autobus.ReasonTypeUnknown, "large": autobus.ReasonEventTooLarge, "weak": autobus.ReasonNotDurable}
	bus := &fakeBus{
		judge: func(e *autobus.Event) *autobus.Error {
			if r, ok := reasons[e.Subject]; ok {
				err := autobus.NewError(r, "as the test wants")
				if e.Subject == "quota" {
					err.RetryAfter = 1500 * time.Millisecond
				}
				return err
			}
			return nil
		},
		settle: func(b *autobus.Batch, i int, written func()) {
			if b.Events[i].Subject == "unknown" {
				b.Resolve(i, autobus.Receipt{Status: autobus.Unknown, Err: autobus.NewError(autobus.ReasonOutcomeUnknown, "")})
				return
			}
			if b.Events[i].Subject == "later" {
				b.Resolve(i, autobus.Receipt{Status: autobus.Written, Scheduled: &autobus.Scheduled{ID: "x"}})
				return
			}
			written()
		},
	}
	s := serve(t, bus, open(), Config{})
	for _, c := range []struct {
		subjects   string
		status     int
		retryAfter string
	}{
		{"ok ok", 200, ""}, {"ok invalid", 207, ""}, {"ok unknown", 207, ""}, {"unknown invalid", 207, ""},
		{"invalid", 422, ""}, {"invalid invalid", 422, ""}, {"conflict", 409, ""}, {"forbidden", 403, ""}, {"type", 404, ""},
		{"large", 413, ""}, {"invalid conflict", 422, ""}, {"capacity", 503, "1"}, {"capacity capacity", 503, "1"},
		{"quota", 429, "2"}, {"quota capacity", 422, ""}, {"weak", 503, "1"}, {"unknown unknown", 504, ""},
		{"later", 202, ""}, {"later later", 202, ""}, {"later ok", 207, ""}, {"later invalid", 207, ""},
	} {
		var events []string
		for i, subject := range strings.Fields(c.subjects) {
			events = append(events, structured(`,"partitionkey":"`+string(rune('a'+i))+`","subject":"`+subject+`"`))
		}
		a := s.post(t, "/v1/events", "application/cloudevents-batch+json", "["+strings.Join(events, ",")+"]")
		if a.Status != c.status || a.Header.Get("Retry-After") != c.retryAfter || len(a.Results) != len(events) {
			t.Errorf("%s: status %d, Retry-After %q: %s", c.subjects, a.Status, a.Header.Get("Retry-After"), a.Body)
		}
	}
}

func TestRequestsThatSchedule(t *testing.T) {
	at := time.Date(2026, 12, 24, 7, 0, 0, 5_000_000, time.UTC)
	kept := make(chan autobus.Event, 1)
	bus := &fakeBus{settle: func(b *autobus.Batch, i int, _ func()) {
		kept <- b.Events[i]
		b.Resolve(i, autobus.Receipt{Status: autobus.Written, Scheduled: &autobus.Scheduled{ID: "a.b.v1~x", At: at}})
	}}
	s := serve(t, bus, open(), Config{})
	when := func() time.Time {
		t.Helper()
		e := <-kept
		text, _ := e.Ext(autobus.ExtDeliverAt)
		when, ok := autobus.ParseTime(text)
		if !ok {
			t.Errorf("deliverat is %q", text)
		}
		return when
	}
	a := s.post(t, "/v1/events/"+placed+"?deliver_at=2026-12-24T08:00:00.005+01:00", "application/json", `{}`)
	want := `"status":"written","type":"` + placed + `","scheduled":{"id":"a.b.v1~x","at":"2026-12-24T07:00:00.005Z"}`
	if a.Status != http.StatusAccepted || !strings.Contains(a.Body, want) || !when().Equal(at) {
		t.Errorf("%d %s, for %s", a.Status, a.Body, when())
	}
	for _, c := range [][2]string{{"/v1/events/" + placed, "application/json"}, {"/v1/events/" + placed, mediaNDJSON},
		{"/v1/events", mediaStructured}} {
		body := "{}\n"
		if c[1] == mediaStructured {
			body = structured("")
		}
		before := time.Now()
		s.post(t, c[0]+"?delay=10m", c[1], body)
		if w := when(); w.Before(before.Add(10*time.Minute)) || w.After(time.Now().Add(10*time.Minute)) {
			t.Errorf("%v: delayed by %s", c, time.Until(w))
		}
	}
}

func TestOutcomeIsUnknownAfterTheTimeout(t *testing.T) {
	var late func()
	bus := &fakeBus{settle: func(_ *autobus.Batch, _ int, written func()) { late = written }}
	a := serve(t, bus, open(), Config{}).post(t, "/v1/events/"+placed+"?timeout=20ms", "application/json", `{}`)
	if a.Status != http.StatusGatewayTimeout || a.Results[0].Status != "unknown" || a.Results[0].ID == "" ||
		a.Results[0].reason() != autobus.ReasonOutcomeUnknown {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	late()
}

func TestOrderedStopsBehindAnUnreadableEvent(t *testing.T) {
	bus := &fakeBus{}
	a := serve(t, bus, open(), Config{}).post(t, "/v1/events?mode=ordered", "application/x-ndjson",
		structured(``)+"\n{}\n"+structured(``)+"\n")
	var got []autobus.Reason
	for _, r := range a.Results {
		got = append(got, r.reason())
	}
	if !slices.Equal(got, []autobus.Reason{"", autobus.ReasonEventInvalid, autobus.ReasonPredecessorFailed}) {
		t.Errorf("reasons %q", got)
	}
}

func TestWholeBatchRefused(t *testing.T) {
	bus := &fakeBus{whole: autobus.NewError(autobus.ReasonShuttingDown, "going")}
	s := serve(t, bus, open(), Config{})
	a := s.post(t, "/v1/events/"+placed, "application/json", `{}`)
	if a.Status != http.StatusServiceUnavailable || a.Reason != autobus.ReasonShuttingDown ||
		a.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a = s.post(t, "/v1/events/"+placed, "application/x-ndjson", "{}\n{}\n")
	if a.Status != http.StatusOK || len(a.Results) != 3 || a.Results[1].reason() != autobus.ReasonShuttingDown ||
		a.Results[2].reason() != autobus.ReasonShuttingDown || a.Results[2].Status != "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
