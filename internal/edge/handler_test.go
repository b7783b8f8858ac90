// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
)

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

// whoami answers with the principal's name.
func whoami(w http.ResponseWriter, r *http.Request) {
	p, ok := autobus.PrincipalOf(r.Context())
	if !ok {
		p.Name = "nobody"
	}
	_, _ = io.WriteString(w, p.Name)
}

func testMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/v1/me", "/v1/things/{name}"} {
		mux.HandleFunc("GET "+path, whoami)
	}
	mux.HandleFunc("PUT /v1/things/{name}", whoami)
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("secret of the code") })
	return mux
}

func tokens(token string) (autobus.Principal, string, bool) {
	return autobus.Principal{Name: "shop"}, "id-1", token == "good"
}

func ask(h http.Handler, method, target string, headers ...string) (*httptest.ResponseRecorder, Details) {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var d Details
	_ = json.Unmarshal(w.Body.Bytes(), &d)
	return w, d
}

func TestTokens(t *testing.T) {
	h := Handler(testMux(), Options{Authenticate: tokens})
	for _, c := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"good", []string{"Authorization", "Bearer good"}, 200},
		{"scheme in lower case", []string{"Authorization", "bearer  good"}, 200},
		{"none", nil, 401},
		{"foreign", []string{"Authorization", "Bearer bad"}, 401},
		{"empty", []string{"Authorization", "Bearer "}, 401},
		{"basic", []string{"Authorization", "Basic good"}, 401},
		{"two", []string{"Authorization", "Bearer good", "Authorization", "Bearer good"}, 401},
	} {
		w, d := ask(h, http.MethodGet, "/v1/me", c.headers...)
		if w.Code != c.status {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if c.status == 200 && w.Body.String() != "shop" {
			t.Errorf("%s: acts as %s", c.name, w.Body)
		}
		if c.status == 401 && (d.Reason != autobus.ReasonUnauthenticated || w.Header().Get("WWW-Authenticate") != "Bearer") {
			t.Errorf("%s: %s %s", c.name, w.Header(), w.Body)
		}
		if strings.Contains(w.Body.String(), "bad") {
			t.Errorf("%s: the answer holds the token", c.name)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if w, _ := ask(h, http.MethodGet, path); w.Code != 200 || w.Body.String() != "nobody" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w, _ := ask(h, http.MethodGet, "/v1/livez"); w.Code != 401 {
		t.Errorf("unknown path without a token: %d", w.Code)
	}
}

func TestDeniesByDefault(t *testing.T) {
	if w, _ := ask(Handler(testMux(), Options{}), http.MethodGet, "/v1/me", "Authorization", "Bearer x"); w.Code != 401 {
		t.Errorf("%d", w.Code)
	}
}

func TestNoRoute(t *testing.T) {
	h := Handler(testMux(), Options{Open: &autobus.Principal{Name: "dev"}})
	if w, d := ask(h, http.MethodGet, "/v2/things"); w.Code != 404 || d.Reason != autobus.ReasonPathUnknown {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w, d := ask(h, http.MethodDelete, "/v1/things/x")
	if w.Code != 405 || d.Reason != autobus.ReasonMethodNotAllowed || !containsAll(w.Header().Get("Allow"), "GET", "PUT") {
		t.Errorf("%d %s %s", w.Code, w.Header(), w.Body)
	}
	if w, _ := ask(h, http.MethodPost, "/metrics"); w.Code != 405 {
		t.Errorf("POST /metrics: %d", w.Code)
	}
	if w, _ := ask(h, http.MethodGet, "//x/../y"); w.Code != 404 {
		t.Errorf("unclean path: %d %s", w.Code, w.Header())
	}
}

func TestHostAndOrigin(t *testing.T) {
	h := Handler(testMux(), Options{Open: &autobus.Principal{}, Hosts: []string{"localhost", "127.0.0.1", "::1"}})
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{"localhost:7070", "", 200}, {"LOCALHOST", "", 200}, {"127.0.0.1:7070", "", 200}, {"[::1]:7070", "", 200},
		{"[::1]", "", 200}, {"localhost:7070", "http://localhost:7070", 200},
		{"evil.example", "", 403}, {"localhost.evil.example:7070", "", 403}, {"127.0.0.1.evil.example", "", 403},
		{"localhost:7070", "http://evil.example", 403}, {"localhost:7070", "http://localhost:3000", 403},
		{"localhost:7070", "null", 403},
	} {
		headers := []string{"Host", c.host}
		if c.origin != "" {
			headers = append(headers, "Origin", c.origin)
		}
		for _, path := range []string{"/v1/me", "/metrics"} {
			w, d := ask(h, http.MethodGet, path, headers...)
			if w.Code != c.status || c.status == 403 && d.Reason != autobus.ReasonOriginForbidden {
				t.Errorf("%s %+v: %d %s", path, c, w.Code, w.Body)
			}
		}
	}
}

func TestRequestIDs(t *testing.T) {
	h := Handler(testMux(), Options{})
	for given, keep := range map[string]bool{"abc-1.2:3/4": true, "": false, "a b": false, "a\"b": false,
		"\x1b[31m": false, strings.Repeat("x", 129): false} {
		w, d := ask(h, http.MethodGet, "/v1/me", "X-Request-Id", given)
		got := w.Header().Get("X-Request-Id")
		if (got == given) != keep || len(got) < 8 || d.RequestID != got {
			t.Errorf("%q became %q, in the problem %q", given, got, d.RequestID)
		}
	}
	a, _ := ask(h, http.MethodGet, "/v1/me")
	b, _ := ask(h, http.MethodGet, "/v1/me")
	if a.Header().Get("X-Request-Id") == b.Header().Get("X-Request-Id") {
		t.Error("two requests have one id")
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	var log bytes.Buffer
	h := Handler(testMux(), Options{Open: &autobus.Principal{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w, d := ask(h, http.MethodGet, "/panic", "X-Request-Id", "req-1")
	if w.Code != 500 || d.Reason != autobus.ReasonInternal || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !containsAll(log.String(), "secret of the code", "req-1", "handler_test.go") {
		t.Errorf("log %s", log.String())
	}
}

func TestMetricsKnowRoutesOnly(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := Handler(testMux(), Options{Open: &autobus.Principal{}, Metrics: reg})
	for _, path := range []string{"/v1/things/a", "/v1/things/b", "/x", "/y", "/panic"} {
		ask(h, http.MethodGet, path)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if c := m.GetCounter(); c != nil {
				got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = c.GetValue()
			}
		}
	}
	want := map[string]float64{"GET /v1/things/{name} 200": 2, "none 404": 2, "GET /panic 500": 1}
	if len(got) != len(want) {
		t.Errorf("series %v", got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %v, want %v", k, got[k], v)
		}
	}
}

func TestRevocationCancelsTheRequest(t *testing.T) {
	revoked := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/wait", func(_ http.ResponseWriter, r *http.Request) {
		close(revoked)
		<-r.Context().Done()
		if e := autobus.AsError(context.Cause(r.Context())); e.Reason != autobus.ReasonUnauthenticated {
			t.Errorf("cause %v", e)
		}
	})
	h := Handler(mux, Options{Authenticate: tokens, Revoked: func(id string) <-chan struct{} {
		if id != "id-1" {
			t.Errorf("asked about token %q", id)
		}
		return revoked
	}})
	ask(h, http.MethodGet, "/v1/wait", "Authorization", "Bearer good")
}
