// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
)

// The table marks what is not a CloudEvent, what is not text and what is not there.
func TestTailTable(t *testing.T) {
	const begin, at = `{"type":"a.b.v1","partition":2,"offset":`, `"time":"2026-01-02T03:04:05Z"`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, line := range []string{
			begin + `1,"key":"k","event":{` + at + `,"data":{"n":1}}}`,
			begin + `2,"unspecified":true,"key":"k","event":{` + at + `,"data":null}}`,
			begin + `3,"unspecified":true,"key_base64":"/g==","event":{` + at + `,"data_base64":"/w=="}}`,
			begin + `4,"unspecified":true,"event":{` + at + `}}`,
		} {
			_, _ = io.WriteString(w, line+"\n")
		}
	}))
	defer server.Close()
	code, out, stderr := invoke(t, "", "tail", "a.b.v1", "-n", "4", "--server", server.URL)
	want := "TIME  a.b.v1  2/1  key=k  {\"n\":1}\n" +
		"TIME  a.b.v1  2/2  foreign  key=k  null\n" +
		"TIME  a.b.v1  2/3  foreign  key(base64)=/g==  data(base64)=/w==\n" +
		"TIME  a.b.v1  2/4  foreign  (no data)\n"
	if got := regexp.MustCompile(`(?m)^[0-9:.]+ `).ReplaceAllString(out, "TIME "); code != exitOK || got != want {
		t.Errorf("exit status %d, stdout\n%swant\n%sstderr %s", code, got, want, stderr)
	}
}
