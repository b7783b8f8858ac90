// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// FuzzSettlement: an outcome is one of the five with a bounded delay and reason, or an error.
func FuzzSettlement(f *testing.F) {
	for _, s := range []string{`{"lease":"l","outcome":"ack"}`,
		`{"lease":"l","outcome":"retry","delay":"168h","reason":"r"}`,
		`{"lease":"","outcome":"ack"}`, `{"lease":"l","outcome":"extend","delay":"1s"}`, `{"outcome":7}`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := readSettlement(raw)
		if s.Err != nil {
			if c := Status(s.Err); c < 400 || c > 499 {
				t.Errorf("%q: %v", raw, s.Err)
			}
			return
		}
		o := s.Outcome
		if s.Lease == "" || len(o.Reason) > maxReason || o.Delay < 0 || o.Delay > 0 && o.Kind != autobus.Retry {
			t.Errorf("%q became %+v", raw, s)
		}
		switch o.Kind {
		case autobus.Ack, autobus.Retry, autobus.Skip, autobus.Reject, autobus.Extend:
		default:
			t.Errorf("%q became %+v", raw, s)
		}
	})
}

// FuzzTail: a query is a tail of valid patterns or an error of the client's.
func FuzzTail(f *testing.F) {
	for _, q := range []string{"type=orders.*&from=-1h&filter=data.a==1", "type=a,b&type=c&from=earliest", "from=latest",
		"type=*&from=2026-01-01T00:00:00Z", "type=%zz", "type=a;b", "type=a&type=", "type=*&from=-999999h"} {
		f.Add(q)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, query string) {
		s, err := TailOf(&http.Request{URL: &url.URL{Path: "/v1/tail", RawQuery: query}}, now)
		if err != nil {
			if c := Status(err); c < 400 || c > 499 {
				t.Errorf("%q: %v", query, err)
			}
			return
		}
		for _, p := range s.Tail {
			if p == "" {
				t.Errorf("%q tails %q", query, s.Tail)
			}
		}
		if len(s.Tail) == 0 {
			t.Errorf("%q tails nothing", query)
		}
	})
}
