// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/ipc"
)

// What an Idempotency-Key means is the service's affair: it gets a second attempt as it would without the bridge.
func TestIdempotencyKeysAreTheServices(t *testing.T) {
	n := 0
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = fmt.Fprint(w, r.Header.Get("Idempotency-Key"), n)
	})
	bus := autobustest.New(t)
	respond(t, bus, s.URL, nil)
	addr, _ := call(t, bus, nil)
	for i, want := range []int{503, 200, 200} {
		status, d := raw(t, addr, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\n"+
			"Content-Length: 0\r\n\r\n", i/2))
		if status != want || d.Detail != fmt.Sprint("k", i+1) {
			t.Errorf("attempt %d: %d %q (%s)", i+1, status, d.Detail, d.Reason)
		}
	}
}

// A responder of another make cannot break the client's connection.
func TestAnswersOfForeignResponders(t *testing.T) {
	bus := autobustest.New(t)
	bus.Subscription("pricing", autobus.Policy{Types: []string{calls}})
	answers := make(chan string, 1)
	w := autobus.Worker{Bus: bus, Subscription: "pricing", Handle: ipc.Answer(bus, "pricing",
		func(_ context.Context, _ *ipc.Request) (any, error) {
			return ipc.Raw{ContentType: ipc.MediaHTTP, Data: []byte(<-answers)}, nil
		})}
	background(t, w.Run)
	addr, _ := call(t, bus, nil)
	for answer, want := range map[string]int{
		"": 503, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort": 503, "HTTP/1.1 101 Switching\r\n\r\n": 503,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":           503,
		"HTTP/1.1 200 OK\r\nConnection: upgrade, x-a\r\nUpgrade: h2c\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok": 200,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-B\r\n\r\n2\r\nok\r\n0\r\nX-B: 1\r\n\r\n":  200,
	} {
		answers <- answer
		status, d := raw(t, addr, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if status != want || want == 200 && d.Detail != "ok" || want == 503 && d.Reason != autobus.ReasonResponderFailed {
			t.Errorf("%q: %d %q %s", answer, status, d.Detail, d.Reason)
		}
	}
}
