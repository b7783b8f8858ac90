// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTailedLines(t *testing.T) {
	asked := 0
	lines := &tailedLines{keyed: func(name string) bool {
		asked++
		return name == "keyed.v1"
	}}
	const (
		event = `{"specversion":"1.0", "data": 1.50}`
		named = `{"partitionkey":"\"ü","specversion":"1.0", "data": 1.50}`
	)
	place := func(typ, key string) string {
		return `{"type":"` + typ + `","partition":0,"offset":7,` + key + `"event":` + event + `}`
	}
	for line, want := range map[string]string{
		place("keyed.v1", ""):                                            event,
		place("keyed.v1", `"key":"k",`):                                  event,
		place("plain.v1", `"key":"\"ü",`):                                named,
		place("plain.v1", ""):                                            event,
		`{"type":"a","offset":7,"key":"k","event":{"partitionkey":"k"}}`: `{"partitionkey":"k"}`,
		`{"lease":"l","offset":7,"key":"k","event":{"type":"keyed.v1"}}`: `{"type":"keyed.v1"}`,
		`{"lease":"l","offset":7,"key":"k","event":{"type":"plain.v1"}}`: `{"partitionkey":"k","type":"plain.v1"}`,
		`{"lease":"l","offset":7,"key":"k","event":{"id":"1"}}`:          `{"partitionkey":"k","id":"1"}`,
		`{"heartbeat":"2026-01-02T03:04:05Z"}`:                           "",
		"":                                                               "",
	} {
		if got := string(lines.event([]byte(line))); got != want {
			t.Errorf("event(%s) = %s, want %s", line, got, want)
		}
	}
	for _, line := range []string{
		`{"specversion":"1.0","type":"a","event":{},"offset":"x"}`, `{"heartbeat":"x","type":"a"}`, `{"event":{}}`,
		`{broken`, `[1]`,
	} {
		if got := string(lines.event([]byte(line))); got != line {
			t.Errorf("event(%s) = %s, want it as it is", line, got)
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times about 3 types", asked)
	}
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	r := bufio.NewReader(strings.NewReader("a\r\n\n" + long + "\nlast"))
	for _, want := range []string{"a", "", long} {
		got, err := readLine(r)
		if err != nil || string(got) != want {
			t.Fatalf("got %.20q, %v, want %.20q", got, err, want)
		}
	}
	if got, err := readLine(r); !errors.Is(err, io.EOF) || string(got) != "last" {
		t.Errorf("got %q, %v", got, err)
	}
	r = bufio.NewReader(strings.NewReader(strings.Repeat("x", maxLine+2)))
	if _, err := readLine(r); !errors.Is(err, bufio.ErrTooLong) {
		t.Errorf("got %v", err)
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{"o-1": "o-1", "ключ 1": "ключ 1", "a\x1b[2J": `"a\x1b[2J"`} {
		if got := printable(s); got != want {
			t.Errorf("printable(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestPercentEncode(t *testing.T) {
	if got, want := percentEncode("a/b ü%\"\n~"), "a/b%20%C3%BC%25%22%0A~"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A receipt is printed while stdin is still open: the stream goes both ways at once.
func TestPublishStreamsBothWays(t *testing.T) {
	in := startInstance(t, testSettings(t))
	stdin, feed := io.Pipe()
	out := &notifyWriter{Buffer: &bytes.Buffer{}, written: make(chan struct{}, 1)}
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"publish", "a.b.v1", "--ndjson", "-o", "ndjson", "--server", in.url()}, stdin, out,
			&stderr)
	}()
	for i := range 3 {
		fmt.Fprintf(feed, "{\"n\":%d}\n", i)
		<-out.written
	}
	_ = feed.Close()
	if code := <-ended; code != exitOK || strings.Count(out.String(), `"status":"written"`) != 3 {
		t.Errorf("exit status %d, stdout %s, stderr %s", code, out, &stderr)
	}
}

// An interrupt ends the sending, not the waiting for receipts.
func TestInterruptedPublishKeepsItsReceipts(t *testing.T) {
	in := startInstance(t, testSettings(t))
	stdin, feed := io.Pipe()
	defer feed.Close()
	out := &notifyWriter{Buffer: &bytes.Buffer{}, written: make(chan struct{}, 1)}
	var stderr bytes.Buffer
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"publish", "a.b.v1", "--ndjson", "--server", in.url()}, stdin, out, &stderr)
	}()
	fmt.Fprintln(feed, `{"n":1}`)
	<-out.written
	interrupt()
	if code := <-ended; code != exitInterrupted || !strings.Contains(stderr.String(), "1 written, 0 refused, 0 unknown") {
		t.Errorf("exit status %d, stdout %s, stderr %s", code, out, &stderr)
	}
}

func TestNamedType(t *testing.T) {
	for line, want := range map[string]string{
		`{"type":"a.b.v1"}`: "a.b.v1",
		`{"id":"1","data":{"type":"no"},"type":"a.b.v1",{`: "a.b.v1",
		`{"data":{"type":"no"}}`:                           "",
		`{"id":,"type":"a.b.v1"}`:                          "",
		`{"type":7}`:                                       "",
		`["type","a.b.v1"]`:                                "",
		``:                                                 "",
	} {
		if got := namedType([]byte(line)); got != want {
			t.Errorf("namedType(%s) = %q, want %q", line, got, want)
		}
	}
}

// What was answered is forgotten, so that a stream without end needs no more and more memory.
func TestInputLinesForgetWhatWasAnswered(t *testing.T) {
	var in inputLines
	for i := range 1000 {
		in.add(inputLine{number: 2*i + 1})
		if got := in.of(i); got.number != 2*i+1 || len(in.sent) != 1 {
			t.Fatalf("event %d is of line %d, %d are remembered", i, got.number, len(in.sent))
		}
	}
	if got := in.of(1000); got.number != 0 {
		t.Errorf("an event that was not sent is of line %d", got.number)
	}
}

// A hint of the bus is said once for a type.
func TestPublishPassesHintsOn(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i, typ := range []string{"a.b.v1", "a.b.v1", "c.d.v1"} {
			fmt.Fprintf(w, `{"index":%d,"id":"1","status":"written","hint":"No spec declares %s.","type":%q}`+"\n", i, typ, typ)
		}
	}))
	defer server.Close()
	code, _, stderr := invoke(t, "{}\n{}\n{}\n", "publish", "--ndjson", "--server", server.URL)
	want := "No spec declares a.b.v1.\nNo spec declares c.d.v1.\n3 written, 0 refused, 0 unknown\n"
	if code != exitOK || stderr != want {
		t.Errorf("exit status %d, stderr %q, want %q", code, stderr, want)
	}
}

// Under -o json stdout is one document even when the stream breaks off.
func TestBrokenPublishIsStillJSON(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"index":0,"status":"written"}`+"\n"+`{"error":{"reason":"shutting_down"}}`+"\n")
	}))
	defer server.Close()
	code, out, stderr := invoke(t, "{}\n{}\n", "publish", "a.b.v1", "--ndjson", "-o", "json", "--server", server.URL)
	var doc struct{ Results []result }
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Results) != 1 || code != exitUnreachable {
		t.Errorf("exit status %d, %v, stdout %s, stderr %s", code, err, out, stderr)
	}
}

// What the exit status is when the bus breaks off, speaks nonsense, or knows no outcome.
func TestPublishAgainstABrokenBus(t *testing.T) {
	const written = `{"index":0,"id":"1","status":"written","type":"a.b.v1","partition":0,"offset":0}` + "\n"
	for _, c := range []struct {
		name  string
		serve http.HandlerFunc
		code  int
		want  string
	}{
		{"breaks off", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.WriteString(w, written)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		}, exitUnreachable, "1 events were sent and not answered"},
		{"ends with an error", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, written+`{"error":{"reason":"shutting_down","code":"unavailable","detail":"going"}}`+"\n")
		}, exitUnreachable, "shutting_down: going"},
		{"unknown", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, written+`{"index":1,"status":"unknown","error":{"reason":"outcome_unknown"}}`+"\n")
		}, exitUnreachable, "1 written, 0 refused, 1 unknown"},
		{"speaks nonsense", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "<html>\n")
		}, exitUnreachable, "cannot be read"},
		{"is no bus", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, "bad gateway", http.StatusBadGateway)
		}, exitUnreachable, "which is not a bus's answer"},
		{"redirects", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, "http://elsewhere.example/", http.StatusTemporaryRedirect)
		}, exitUnreachable, "which is not a bus's answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.serve)
			defer server.Close()
			code, _, stderr := invoke(t, "{}\n{}\n", "publish", "a.b.v1", "--ndjson", "--server", server.URL)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exit status %d, want %d; stderr lacks %q:\n%s", code, c.code, c.want, stderr)
			}
		})
	}
}
