// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

const pollPath = "/v1/subscriptions/bob-kz/events"

// leases is a call's worth of deliveries.
func leases(names ...autobus.Lease) []autobus.Delivery {
	ds := make([]autobus.Delivery, len(names))
	for i, l := range names {
		ds[i] = autobus.Delivery{Event: autobus.Event{ID: "e" + string(l), Type: "a.b.v1"}, Lease: l, Attempt: 1}
	}
	return ds
}

// poll asks and gives the leases of the answer.
func poll(t *testing.T, s *site, query string) (status int, got []string) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+pollPath+query, nil)
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct {
		Deliveries []struct{ Lease string }
		Reason     autobus.Reason
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusOK && body.Deliveries == nil {
		t.Error("the answer has no deliveries, not even none")
	}
	if body.Reason != "" {
		return resp.StatusCode, []string{string(body.Reason)}
	}
	for _, d := range body.Deliveries {
		got = append(got, d.Lease)
	}
	return resp.StatusCode, got
}

func TestPollTakesWhatComesFirst(t *testing.T) {
	var asked autobus.Subscription
	bus := &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
		asked = s
		h(ctx, nil)
		if ctx.Err() != nil {
			t.Error("nothing came, and it ended")
		}
		h(ctx, leases("1", "2"))
		<-ctx.Done()
		h(ctx, leases("3")) // it was leased before the end was noticed
		return nil
	}}
	s := serve(t, bus, open(), Config{})
	status, got := poll(t, s, "?max=5&max_bytes=777&wait=60s")
	if status != 200 || fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("%d %v", status, got)
	}
	if asked.Name != "bob-kz" || !asked.Detached || *asked.Window != (autobus.Window{Events: 5, Bytes: 777}) {
		t.Errorf("%+v", asked)
	}
	if poll(t, s, "?max=5"); *asked.Window != (autobus.Window{Events: 5, Bytes: 1 << 20}) {
		t.Errorf("with max alone: %+v", asked.Window)
	}
	if poll(t, s, ""); asked.Window != nil {
		t.Errorf("without parameters it is the policy's, not %+v", asked.Window)
	}
}

func TestPollDeliveryObject(t *testing.T) {
	bus := &fakeBus{subscribe: func(ctx context.Context, _ autobus.Subscription, h autobus.Handler) error {
		h(ctx, []autobus.Delivery{{Event: autobus.Event{ID: "1", Type: "a.b.v1", Data: []byte("\n7")}, Lease: "l",
			Attempt: 1, Fence: 42, Partition: 3, Offset: 17, Deadline: time.Unix(0, 0)}})
		return nil
	}}
	a := serve(t, bus, open(), Config{}).do(t, http.MethodGet, pollPath, "")
	want := `{"deliveries":[{"lease":"l","attempt":1,"fence":42,"deadline":"1970-01-01T00:00:00Z","partition":3,` +
		`"offset":17,"event":{"specversion":"1.0","id":"1","type":"a.b.v1","data": 7}}]}` + "\n"
	if a.Body != want || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s\nwant %s", a.Body, want)
	}
}

func TestPollWaits(t *testing.T) {
	for query, want := range map[string]time.Duration{"": 20 * time.Second, "?wait=60s": time.Minute,
		"?wait=0": 100 * time.Millisecond, "?wait=1500ms": 1500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			l := newPipes()
			s := serveOn(t, &edge.Server{Listener: l}, &fakeBus{subscribe: opensAndWaits}, open(), Config{})
			s.url = "http://autobus"
			transport := &http.Transport{DialContext: l.dialContext}
			s.client = &http.Client{Transport: transport}
			began := time.Now()
			status, got := poll(t, s, query)
			if took := time.Since(began); status != 200 || len(got) != 0 || took != want {
				t.Errorf("%q: %d %v after %s", query, status, got, took)
			}
			transport.CloseIdleConnections()
		})
	}
}

func opensAndWaits(ctx context.Context, s autobus.Subscription, _ autobus.Handler) error {
	s.Opened("")
	<-ctx.Done()
	return nil
}

// A short wait does not end the look whether there is such a subscription.
func TestPollOfAnUnknownOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := serveOn(t, &edge.Server{Listener: l}, &fakeBus{subscribe: func(ctx context.Context, _ autobus.Subscription,
			_ autobus.Handler) error {
			select {
			case <-ctx.Done():
				return autobus.NewError(autobus.ReasonClusterUnreachable, "%v", ctx.Err())
			case <-time.After(3 * time.Second):
				return autobus.NewError(autobus.ReasonSubscriptionUnknown, "none")
			}
		}}, open(), Config{})
		s.url = "http://autobus"
		transport := &http.Transport{DialContext: l.dialContext}
		s.client = &http.Client{Transport: transport}
		if status, _ := poll(t, s, "?wait=0"); status != http.StatusNotFound {
			t.Errorf("status %d, want 404", status)
		}
		transport.CloseIdleConnections()
	})
}

// tailNothingAtAll is a subscription that is never opened.
func tailNothingAtAll(ctx context.Context, _ autobus.Subscription, _ autobus.Handler) error {
	<-ctx.Done()
	return nil
}

func TestPollRefused(t *testing.T) {
	calls := 0
	bus := &fakeBus{subscribe: func(context.Context, autobus.Subscription, autobus.Handler) error {
		calls++
		return autobus.NewError(autobus.ReasonSubscriptionUnknown, "none")
	}}
	s := serve(t, bus, open(), Config{})
	for _, query := range []string{"?max=0", "?max=1001", "?max=x", "?max=", "?max_bytes=0", "?max_bytes=9000000",
		"?wait=61s", "?wait=-1s", "?wait=20", "?wait=", "?waits=1s", "?max=1&max=2"} {
		if status, got := poll(t, s, query); status != 400 || got[0] != "request_invalid" {
			t.Errorf("%s: %d %v", query, status, got)
		}
	}
	resp, err := s.client.Head(s.url + pollPath)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if calls != 0 {
		t.Errorf("%d of them subscribed, HEAD among them perhaps", calls)
	}
	if status, got := poll(t, s, ""); status != 404 || got[0] != "subscription_unknown" {
		t.Errorf("%d %v", status, got)
	}
}

func TestPollEndsWithADrain(t *testing.T) {
	asked := make(chan autobus.Subscription, 1)
	bus := &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
		asked <- s
		return tailNothingAtAll(ctx, s, h)
	}}
	s := serve(t, bus, open(), Config{})
	for _, drain := range []func(){func() { (<-asked).Draining(time.Now()) }, func() { <-asked; s.stop() }} {
		go drain()
		if status, got := poll(t, s, "?wait=60s"); status != 200 || len(got) != 0 {
			t.Errorf("%d %v", status, got)
		}
	}
}

func TestPollEndsWhenTheClientLeaves(t *testing.T) {
	ended := make(chan error, 1)
	asked := make(chan struct{})
	bus := &fakeBus{subscribe: func(ctx context.Context, _ autobus.Subscription, h autobus.Handler) error {
		close(asked)
		<-ctx.Done()
		h(ctx, leases("1"))
		ended <- context.Cause(ctx)
		return nil
	}}
	s := serve(t, bus, open(), Config{})
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-asked; leave() }()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url+pollPath+"?wait=60s", nil)
	if resp, err := s.client.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("there is an answer")
	}
	<-ended
}
