// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bufio"
	"context"
	"net/http"
	"testing"

	"github.com/autobus-io/autobus"
)

// leave ends a session and gives the answer's status.
func (s *site) leave(t *testing.T, session string) int {
	t.Helper()
	url := s.url + "/v1/subscriptions/shop/sessions/" + session
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestAStreamCanSayGoodbye(t *testing.T) {
	causes := make(chan error, 1)
	bus := &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, _ autobus.Handler) error {
		s.Opened("")
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil
	}}
	s := serve(t, bus, open(), Config{})
	stream := func(session string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			s.url+"/v1/subscriptions/shop/stream?session="+session, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	first := stream("w-1")
	if got := stream("w-1").StatusCode; got != http.StatusBadRequest {
		t.Errorf("a second stream of the session: %d", got)
	}
	if got := stream("no+name").StatusCode; got != http.StatusBadRequest {
		t.Errorf("a session that is no name: %d", got)
	}
	if got := s.leave(t, "w-2"); got != http.StatusNotFound {
		t.Errorf("another session: %d", got)
	}
	if got := s.leave(t, "w-1"); got != http.StatusNoContent {
		t.Errorf("goodbye: %d", got)
	}
	if cause := <-causes; cause != context.Canceled {
		t.Errorf("the bus is told %v, which is no goodbye", cause)
	}
	if _, err := bufio.NewReader(first.Body).ReadString('\n'); err == nil {
		t.Error("the stream goes on")
	}
	if got := s.leave(t, "w-1"); got != http.StatusNotFound {
		t.Errorf("goodbye again: %d", got)
	}
}
