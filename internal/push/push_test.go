// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	placed = "orders.order.placed.v1"
	shop   = "shop"
)

// call is a request as the endpoint got it.
type call struct {
	method string
	header http.Header
	body   []byte
}

// rig is a bus in memory, an endpoint that answers what the test says, and a pusher between them.
type rig struct {
	*testing.T
	bus     *autobustest.Bus
	dir     string // of secrets
	pusher  *Pusher
	calls   chan call         // what is posted
	answers chan http.Handler // to what is posted, one after the other; when there is none: 200
	options http.HandlerFunc  // answers the handshake
	changed chan struct{}
	paused  chan string

	mu   sync.Mutex
	list []Subscription
}

var allowLoopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newRig(t *testing.T, p autobus.Policy, allow []netip.Prefix) *rig {
	r := &rig{T: t, bus: autobustest.New(t), dir: t.TempDir(), calls: make(chan call, 100),
		answers: make(chan http.Handler, 100), changed: make(chan struct{}, 1), paused: make(chan string, 10),
		options: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) }}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(server.Close)
	p.Types = []string{placed}
	if p.Delivery.Push == nil {
		p.Delivery.Push = &autobus.Push{}
	}
	p.Delivery.Push.URL = server.URL + "/events"
	p = p.WithDefaults()
	r.bus.Subscription(shop, p)
	r.list = []Subscription{{shop, p}}
	r.pusher = New(Config{List: r.subscriptions, Changed: r.changed, Pause: r.pause, Allow: allow, Secrets: r.dir,
		Origin: "bus.example", Agent: "autobus/test",
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))})
	return r
}

// run pushes until the test ends.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.pusher.Run(ctx, r.bus) }()
	r.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.Error(err)
		}
	})
}

func (r *rig) subscriptions() []Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

func (r *rig) pause(_ context.Context, name, _ string) error {
	r.mu.Lock()
	r.list = nil
	r.mu.Unlock()
	r.paused <- name
	r.changed <- struct{}{}
	return nil
}

func (r *rig) serve(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodOptions {
		r.options(w, req)
		return
	}
	body, _ := io.ReadAll(req.Body)
	r.calls <- call{req.Method, req.Header, body}
	select {
	case h := <-r.answers:
		h.ServeHTTP(w, req)
	default:
	}
}

func (r *rig) answer(status int, header ...string) {
	r.answers <- http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	})
}

func (r *rig) event(id string) {
	r.Helper()
	r.bus.Deliver(shop, autobus.Event{ID: id, Source: "/t", Type: placed, Subject: "Größe 1", Data: []byte(`{"n": 1}`)})
}

func (r *rig) next() call {
	r.Helper()
	select {
	case c := <-r.calls:
		return c
	case <-time.After(time.Minute):
		r.Fatal("nothing was posted")
	}
	return call{}
}

func (r *rig) status() Status {
	s, ok := r.pusher.Status(shop)
	if !ok {
		r.Fatal("the subscription is not pushed")
	}
	return s
}

func TestAnEventIsPosted(t *testing.T) {
	r := newRig(t, autobus.Policy{Delivery: autobus.PolicyDelivery{Push: &autobus.Push{SecretFile: "shop"}}},
		allowLoopback)
	first, second := []byte(strings.Repeat("a", 32)), []byte(strings.Repeat("b", 32))
	text := "whsec_" + base64.StdEncoding.EncodeToString(first) + "\nwhsec_" +
		base64.StdEncoding.EncodeToString(second) + "\n"
	if err := os.WriteFile(filepath.Join(r.dir, "shop"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.event("e1")
	c := r.next()
	r.bus.Idle(shop)
	for name, want := range map[string]string{"ce-id": "e1", "ce-source": "/t", "ce-type": placed, "ce-specversion": "1.0",
		"ce-subject": "Gr%C3%B6%C3%9Fe%201", "Content-Type": "application/json", "Autobus-Attempt": "1",
		"Autobus-Subscription": shop, "User-Agent": "autobus/test"} {
		if got := c.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if string(c.body) != `{"n": 1}` {
		t.Errorf("body %s", c.body)
	}
	signed := c.header.Get("webhook-id") + "." + c.header.Get("webhook-timestamp") + "." + string(c.body)
	var want []string
	for _, key := range [][]byte{first, second} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		want = append(want, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if got := c.header.Get("webhook-signature"); got != strings.Join(want, " ") {
		t.Errorf("signature %s, want %s", got, want)
	}
	if s := r.status(); s.LastStatus != 200 || s.Blocked != nil || s.LastError != "" {
		t.Errorf("status %+v", s)
	}
}

// What is about the endpoint counts for no event: with one attempt in all, they are done in the end.
func TestABlockedEndpointCostsNoAttempt(t *testing.T) {
	r := newRig(t, autobus.Policy{Retry: autobus.RetryPolicy{MaxAttempts: 1}, Window: &autobus.Window{Events: 1}},
		allowLoopback)
	r.answer(http.StatusUnauthorized)
	r.run()
	r.event("e1")
	r.event("e2")
	first := r.next()
	again := r.next()
	r.bus.Idle(shop)
	if first.header.Get("ce-id") != "e1" || again.header.Get("ce-id") != "e1" ||
		again.header.Get("Autobus-Attempt") != "1" {
		t.Errorf("posted %v, then %v", first.header, again.header)
	}
	if first.header.Get("webhook-id") != again.header.Get("webhook-id") {
		t.Error("another webhook-id for the same event")
	}
	if dead := r.bus.DeadLetters(shop); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
	if s := r.status(); s.Blocked != nil || !strings.Contains(s.LastError, "401") {
		t.Errorf("status %+v", s)
	}
}

func TestWhatIsAboutTheEventCounts(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusInternalServerError} {
		r := newRig(t, autobus.Policy{Retry: autobus.RetryPolicy{MaxAttempts: 2, Backoff: []autobus.Duration{1}}},
			allowLoopback)
		r.answer(status)
		r.answer(status)
		r.run()
		r.event("e1")
		r.bus.Idle(shop)
		if dead := r.bus.DeadLetters(shop); len(dead) != 1 || len(r.calls) != 2 {
			t.Errorf("%d: dead letters %v, want one", status, dead)
		}
	}
}

func TestAnEndpointThatIsGonePausesItsSubscription(t *testing.T) {
	r := newRig(t, autobus.Policy{Retry: autobus.RetryPolicy{MaxAttempts: 1}}, allowLoopback)
	r.answer(http.StatusGone)
	r.run()
	r.event("e1")
	if name := <-r.paused; name != shop {
		t.Errorf("paused %s", name)
	}
	r.pusher.mu.Lock()
	for _, j := range r.pusher.jobs { // unless it ended already
		if s := j.at.now(); s.Next == nil || s.Next.Sub(*s.Blocked) < blockLongest {
			t.Errorf("it is asked again at %v", s.Next)
		}
	}
	r.pusher.mu.Unlock()
	if dead := r.bus.DeadLetters(shop); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
}

func TestABatchIsPosted(t *testing.T) {
	r := newRig(t, autobus.Policy{Order: autobus.OrderNone, Delivery: autobus.PolicyDelivery{Push: &autobus.Push{
		Batch: &autobus.PushBatch{Events: 3}}}}, allowLoopback)
	r.event("e1")
	r.event("e2")
	r.event("e3")
	r.run()
	c := r.next()
	r.bus.Idle(shop)
	var got []struct{ ID string }
	if err := json.Unmarshal(c.body, &got); err != nil || len(got) != 3 || got[2].ID != "e3" {
		t.Errorf("posted %s", c.body)
	}
	if ct := c.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/cloudevents-batch+json") {
		t.Errorf("content type %s", ct)
	}
}

// TestNothingIsSentToAnInnerAddress: the address is judged when it is dialled.
func TestNothingIsSentToAnInnerAddress(t *testing.T) {
	r := newRig(t, autobus.Policy{}, nil)
	r.list[0].Policy.Delivery.Push.URL = strings.Replace(r.list[0].Policy.Delivery.Push.URL, "127.0.0.1", "localhost", 1)
	at := newEndpoint(&r.pusher.cfg, r.pusher.metrics, r.pusher.guard, r.list[0])
	v := at.post(t.Context(), []*autobus.Delivery{{Event: autobus.Event{ID: "e1"}}})
	if v.about != theEndpoint || v.err == nil || !strings.Contains(v.err.Error(), "not on the public internet") {
		t.Errorf("verdict %+v", v)
	}
	if len(r.calls) > 0 {
		t.Error("it was posted")
	}
	if err := r.pusher.Check(t.Context(), at.push); err == nil || err.Reason != autobus.ReasonSubscriptionInvalid {
		t.Errorf("check: %v", err)
	}
}
