// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// FuzzHeaders: headers make an event or an error of the client's, and none of them passes for one of the bus's own.
func FuzzHeaders(f *testing.F) {
	for _, h := range []string{
		"Ce-Id: 1\nCe-Source: /s\nCe-Type: a.b.v1\nCe-Specversion: 1.0\nContent-Type: application/json",
		"Ce-Id: \"%20a\"\nCe-Specversion: 1.0\nCe-Time: 2026-01-01T00:00:00Z\nCe-Subject: %E2%82%AC\nCe-Custom: x",
		"Idempotency-Key: \"k\"\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nTracestate: a=b",
		"Ce-Id: 1\nCe-Id: 2", "Ce-: x", "Ce-Autobusx: 1", "Ce-Partitionkey: k", "Content-Encoding: gzip",
		"Ce-Dataschema: /x\nCe-Time: yesterday", "Content-Type: text/plain; charset=\"latin1",
	} {
		f.Add(h, true)
	}
	f.Fuzz(func(t *testing.T, text string, whole bool) {
		h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(text + "\n\n"))).ReadMIMEHeader()
		if err != nil {
			return
		}
		header := http.Header(h)
		var ev autobus.Event
		bad := checkReserved(header)
		if bad == nil {
			_, bad = mediaType(header)
		}
		if bad == nil {
			bad = fromHeaders(&ev, header, whole)
		}
		if bad != nil {
			if c := edge.Status(bad); c < 400 || c > 499 {
				t.Errorf("%q: %v", text, bad)
			}
			return
		}
		traceOf(header).set(&ev)
		if ev.Time.IsZero() && header.Get("Ce-Time") != "" {
			t.Errorf("%q: the time is lost", text)
		}
		if ev.Check() != nil {
			return // the bus refuses it
		}
		for _, x := range ev.Extensions {
			if strings.HasPrefix(x.Name, "autobus") {
				t.Errorf("%q sets %s", text, x.Name)
			}
		}
	})
}

// FuzzParams: the query of a publish, a poll or a stream is within its bounds or an error of the client's.
func FuzzParams(f *testing.F) {
	for _, q := range []string{"mode=ordered&timeout=5s", "max=1000&max_bytes=8388608&wait=60s", "window=10&session=x",
		"max=-1", "max=1&max=2", "wait=1e9s", "timeout=0s", "a=%zz"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r, err := http.NewRequest(http.MethodGet, "/v1/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		window, wait, bad := pollOptions(r)
		if bad == nil && (wait <= 0 || wait > maxWait || window != nil && (window.Events < 1 || window.Events > maxPoll ||
			window.Bytes < 1 || window.Bytes > maxPollBytes)) {
			t.Errorf("%q: %+v %s", query, window, wait)
		}
		stream, worse := streamWindow(r)
		if worse == nil && stream != nil && (stream.Events < 1 || stream.Events > autobus.MaxWindowEvents) {
			t.Errorf("%q: %+v", query, stream)
		}
		o, worst := publishOptions(r)
		if worst == nil && o.timeout <= 0 {
			t.Errorf("%q: %+v", query, o)
		}
		for _, e := range []*autobus.Error{bad, worse, worst} {
			if e != nil && edge.Status(e) != http.StatusBadRequest {
				t.Errorf("%q: %v", query, e)
			}
		}
	})
}

// FuzzToken: what clients make up as the URL of a request is unknown, or bounded.
func FuzzToken(f *testing.F) {
	t0 := token{Address: "a/b", ID: "1", Type: "a.b.v1", Replies: 1, Since: time.Now(),
		Deadline: time.Now().Add(time.Hour)}
	f.Add(strings.TrimPrefix(t0.path(), requestsPath))
	for _, raw := range []string{`{"a":"x","i":"1","n":-2,"d":"9999-01-01T00:00:00Z"}`, `{"a":"x","a":"y"}`, `{}`,
		`{"n":1e9}`} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(raw)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readToken(text)
		if err != nil {
			if edge.Status(err) != http.StatusNotFound {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if got.Replies > maxReplies || got.Replies < ipc.All || len(got.path()) > 2*maxToken {
			t.Errorf("%q: %+v", text, got)
		}
	})
}
