// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bufio"
	"context"
	"net/http"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
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

// A goodbye for a stream that is not here is passed on, for those who may have one, and once.
func TestAGoodbyeIsPassedOn(t *testing.T) {
	passed := make(chan string, 10)
	var answer error
	cfg := Config{Leave: func(_ context.Context, subscription, session string) error {
		passed <- subscription + " " + session
		return answer
	}}
	all := []autobus.Grant{{Verb: autobus.VerbSubscribe, Pattern: "*"}}
	s := serve(t, &fakeBus{}, edge.Options{Open: &autobus.Principal{Name: "shop", Grants: all}}, cfg)
	if got := s.leave(t, "w-1"); got != http.StatusNoContent || <-passed != "shop w-1" {
		t.Errorf("passed on: %d", got)
	}
	answer = autobus.NewError(autobus.ReasonPeerUnreachable, "gone")
	if got := s.leave(t, "w-1"); got != http.StatusServiceUnavailable {
		t.Errorf("not known: %d", got)
	}
	answer = autobus.NewError(autobus.ReasonSessionUnknown, "nowhere")
	if got := s.leave(t, "w-1"); got != http.StatusNotFound {
		t.Errorf("nowhere: %d", got)
	}
	for len(passed) > 0 {
		<-passed
	}
	if got := s.leave(t, "no+name"); got != http.StatusNotFound || len(passed) != 0 {
		t.Errorf("no name: %d, passed on %d times", got, len(passed))
	}
	for name, p := range map[string]autobus.Principal{
		"of another instance": {Name: "shop", Via: "i-2", Grants: all},
		"without a grant":     {Name: "shop"},
	} {
		got := serve(t, &fakeBus{}, edge.Options{Open: &p}, cfg).leave(t, "w-1")
		if got != http.StatusNotFound || len(passed) != 0 {
			t.Errorf("%s: %d, passed on %d times", name, got, len(passed))
		}
	}
}
