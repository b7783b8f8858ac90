// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/base64"
	"io"
	"net/http"
	"testing"
)

// Some clients can say a token only as a password; they are heard where that was allowed, and nowhere else.
func TestBasicAuthentication(t *testing.T) {
	mux := testMux()
	mux.HandleFunc("GET /part/{name}", whoami)
	mux.HandleFunc("GET /parting", whoami)
	h := Handler(mux, Options{Authenticate: tokens, Basic: []string{"/part"}})
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for _, c := range []struct {
		path, authorization string
		status              int
	}{
		{"/part/a", basic("anybody", "good"), 200},
		{"/part/a", basic("", "good"), 200},
		{"/part/a", "Bearer good", 200},
		{"/part/a", basic("good", "bad"), 401},
		{"/part/a", basic("good", ""), 401},
		{"/part/a", "Basic good", 401},
		{"/parting", basic("anybody", "good"), 401},
		{"/v1/me", basic("anybody", "good"), 401},
	} {
		if w, _ := ask(h, http.MethodGet, c.path, "Authorization", c.authorization); w.Code != c.status {
			t.Errorf("%s with %s: %d %s", c.path, c.authorization, w.Code, w.Body)
		}
	}
}

func TestBelow(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /part/{name}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.PathValue("name"))
	})
	mux.HandleFunc("GET /v1/me", whoami)
	principal, _, _ := tokens("")
	h := Below("/part", Handler(mux, Options{Open: &principal}))
	for path, want := range map[string]string{"/a": "a", "/a%2Fb": "a/b", "/a%20b?x=1": "a b"} {
		if w, _ := ask(h, http.MethodGet, path); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", path, w.Code, w.Body, want)
		}
	}
	for _, path := range []string{"/v1/me", "/../v1/me", "/"} {
		if w, _ := ask(h, http.MethodGet, path); w.Code < 300 {
			t.Errorf("%s lies outside of the part: %d %s", path, w.Code, w.Body)
		}
	}
}
