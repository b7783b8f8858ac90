// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeBus answers each event of each stream as answer says, and remembers what it wrote.
type fakeBus struct {
	t      *testing.T
	answer func(b *fakeBus, e event) string // a status, a whole line, or "" for a broken connection

	mu      sync.Mutex
	streams int
	seen    map[string]int // how often an id came
	written []event
	blocked map[string]bool // keys of the stream; the fake has one lane
}

type event struct {
	ID   string
	Data struct {
		Key string `json:"flight_key"`
		Day int
	}
}

func (b *fakeBus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/events" ||
		r.Header.Get("Content-Type") != "application/x-ndjson" || r.Header.Get("Authorization") != "Bearer secret" {
		b.t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	rc := http.NewResponseController(w)
	if err := rc.EnableFullDuplex(); err != nil {
		b.t.Error(err)
	}
	b.mu.Lock()
	b.streams++
	b.blocked = map[string]bool{}
	b.mu.Unlock()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			b.t.Errorf("%s: %v", lines.Bytes(), err)
		}
		b.mu.Lock()
		b.seen[e.ID]++
		line := b.answer(b, e)
		if line == "written" {
			b.written = append(b.written, e)
		}
		b.mu.Unlock()
		switch {
		case line == "":
			panic(http.ErrAbortHandler)
		case line[0] == '{':
			_, _ = io.WriteString(w, line+"\n")
			_ = rc.Flush()
			panic(http.ErrAbortHandler) // the body was not read to its end
		}
		status, more, _ := strings.Cut(line, " ")
		_, _ = fmt.Fprintf(w, `{"id":%q,"status":%q%s}`+"\n", e.ID, status, more)
		_ = rc.Flush()
	}
}

// publish feeds the rows of keys and days, such as "1/2 2/2 1/3" for flight 1 on days 2 and 3.
func publish(t *testing.T, flights string, answer func(b *fakeBus, e event) string) (*fakeBus, *feed, string, error) {
	t.Helper()
	var rows strings.Builder
	for f := range strings.FieldsSeq(flights) {
		flight, day, _ := strings.Cut(f, "/")
		fmt.Fprintf(&rows, "2013,1,%s,NA,515,NA,NA,819,NA,UA,%s,NA,EWR,IAH,NA,1400,5,15,2013-01-02T10:00:00Z\n", day, flight)
	}
	b := &fakeBus{t: t, answer: answer, seen: map[string]int{}}
	s := httptest.NewServer(b)
	defer s.Close()
	s.Config.ErrorLog = nil
	var log strings.Builder
	f := &feed{server: s.URL, token: "secret", connections: 1, log: &log, pause: time.Microsecond}
	err := f.run(t.Context(), file(t, rows.String()))
	return b, f, log.String(), err
}

func (b *fakeBus) order() (out []string) {
	for _, e := range b.written {
		out = append(out, fmt.Sprintf("%s/%d", strings.TrimPrefix(e.Data.Key, "UA-"), e.Data.Day))
	}
	return out
}

func TestFeedWritesEverythingOverOneStream(t *testing.T) {
	b, f, _, err := publish(t, "1/1 2/1 1/2 3/1", func(b *fakeBus, e event) string {
		if e.Data.Day == 2 {
			b.written = append(b.written, e)
			return `written ,"duplicate":true`
		}
		return "written"
	})
	if err != nil || b.streams != 1 || !slices.Equal(b.order(), []string{"1/1", "2/1", "1/2", "3/1"}) ||
		f.count.written != 4 || f.count.duplicates != 1 || f.count.cancelled != 4 || f.count.repetitions != 0 {
		t.Errorf("%v, %d streams, %v, %s", err, b.streams, b.order(), f.count.String())
	}
}

// An unknown outcome, what waits for it, and a lack of room are sent again under the same ids, in order.
func TestFeedSendsAgainWhatIsOpen(t *testing.T) {
	tried := map[string]bool{}
	b, f, log, err := publish(t, "1/1 1/2 2/1 1/3 3/1 2/2", func(b *fakeBus, e event) string {
		at := fmt.Sprintf("%s/%d", e.Data.Key, e.Data.Day)
		first := !tried[at]
		tried[at] = true
		switch {
		case b.blocked[e.Data.Key]:
			return `refused ,"error":{"reason":"predecessor_failed","retriable":true}`
		case at == "UA-1/1" && first:
			b.blocked[e.Data.Key] = true
			return `unknown ,"error":{"reason":"outcome_unknown","retriable":false}`
		case at == "UA-2/1" && first:
			b.blocked[e.Data.Key] = true
			return `refused ,"error":{"reason":"capacity","retriable":true,"retry_after":"1ms"}`
		}
		return "written"
	})
	perKey := map[string][]int{}
	for _, e := range b.written {
		perKey[e.Data.Key] = append(perKey[e.Data.Key], e.Data.Day)
	}
	if err != nil || log != "" || f.count.written != 6 || len(b.seen) != 6 || f.count.repetitions < 2 || b.streams < 2 ||
		!slices.Equal(perKey["UA-1"], []int{1, 2, 3}) || !slices.Equal(perKey["UA-2"], []int{1, 2}) {
		t.Errorf("%v, log %q, %d streams, %v, %s", err, log, b.streams, b.order(), f.count.String())
	}
}

// A connection that breaks leaves outcomes open; they are settled over the next one.
func TestFeedSurvivesABrokenStream(t *testing.T) {
	for name, end := range map[string]string{
		"cut off": "", "shut down": `{"error":{"reason":"shutting_down","retriable":true}}`,
	} {
		ended := false
		b, f, _, err := publish(t, "1/1 1/2 2/1 1/3", func(_ *fakeBus, e event) string {
			if e.Data.Day == 2 && !ended {
				ended = true
				return end
			}
			return "written"
		})
		// The answer to the first event may be lost with the connection, then that event comes twice.
		got := slices.Compact(b.order())
		if got[0] == got[min(2, len(got)-1)] {
			got = got[1:]
		}
		if err != nil || b.streams != 2 || f.count.written != 4 || f.count.repetitions == 0 || len(b.seen) != 4 ||
			!slices.Equal(got, []string{"1/1", "1/2", "2/1", "1/3"}) {
			t.Errorf("%s: %v, %d streams, %v, %s", name, err, b.streams, b.order(), f.count.String())
		}
	}
}

func TestFeedReportsRefusals(t *testing.T) {
	b, f, log, err := publish(t, "1/1 1/2 2/1", func(_ *fakeBus, e event) string {
		if e.Data.Day == 2 {
			return `refused ,"error":{"reason":"data_invalid","detail":"/day is bad"}`
		}
		return "written"
	})
	if err == nil || f.count.refused != 1 || f.count.written != 2 || b.streams != 1 ||
		!strings.Contains(log, "line 3, event ") || !strings.Contains(log, "data_invalid: /day is bad") {
		t.Errorf("%v, %s, log %s", err, f.count.String(), log)
	}
}

func TestFeedGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		line    string
		streams int
		says    string
	}{
		"never an outcome": {`unknown ,"error":{"reason":"outcome_unknown"}`, rounds, "outcome_unknown"},
		"a fault":          {`{"error":{"reason":"internal","detail":"oh"}}`, 1, "internal: oh"},
		"no outcome":       {`lost`, 1, "no outcome"},
		"another event":    {`written ,"id":"other"`, 1, `about event "other"`},
	} {
		b, _, _, err := publish(t, "1/1", func(*fakeBus, event) string { return c.line })
		if err == nil || !strings.Contains(err.Error(), c.says) || b.streams != c.streams {
			t.Errorf("%s: %v after %d streams", name, err, b.streams)
		}
	}
}

func TestFeedRefusedAtTheDoor(t *testing.T) {
	for body, says := range map[string]string{
		`{"reason":"unauthenticated","detail":"no token"}`: "unauthenticated: no token",
		`<html>`: "does not look like the bus",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, body)
		}))
		f := &feed{server: s.URL, connections: 3, log: io.Discard, pause: time.Microsecond}
		if err := f.run(t.Context(), slice); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", body, err)
		}
		s.Close()
	}
}
