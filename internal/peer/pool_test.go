// SPDX-License-Identifier: Apache-2.0

package peer_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/edge/ws"
	"github.com/autobus-io/autobus/internal/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// owner is the bus of another instance: it notes who asks.
type owner struct {
	who     chan autobus.Principal
	settled chan []autobus.Settlement
}

func (o *owner) Publish(context.Context, *autobus.Batch) error { return errors.New("not relayed") }

func (o *owner) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	who, _ := autobus.PrincipalOf(ctx)
	o.who <- who
	s.Opened("")
	h(ctx, []autobus.Delivery{{Event: autobus.Event{ID: "e", Source: "/s", Type: "a.b.v1", Data: []byte(`{}`)},
		Lease: "f.1", Offset: 1, Attempt: 1, Deadline: time.Now()}})
	<-ctx.Done()
	return nil
}

func (o *owner) Settle(ctx context.Context, ss []autobus.Settlement) error {
	who, _ := autobus.PrincipalOf(ctx)
	o.who <- who
	o.settled <- append([]autobus.Settlement(nil), ss...)
	ss[0].Err = autobus.NewError(autobus.ReasonNotOwner, "not here")
	return nil
}

// instance serves a bus for peers alone, and returns its address.
func instance(t *testing.T, keys peer.Keys, b autobus.Bus) string {
	t.Helper()
	mux := http.NewServeMux()
	ws.New(ws.Config{Bus: b}).Mount(mux)
	server := httptest.NewServer(edge.Handler(mux, edge.Options{
		Authenticate: func(token string) (autobus.Principal, string, bool) {
			p, ok := keys.Principal(token)
			return p, "", ok
		}}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestThePrincipalActsAtTheOtherInstance(t *testing.T) {
	keys := peer.NewKeys("sixteen bytes or more")
	o := &owner{who: make(chan autobus.Principal, 2), settled: make(chan []autobus.Settlement, 1)}
	address := instance(t, keys, o)
	pool := peer.New(peer.Config{Instance: "a", Keys: keys})
	defer pool.Close()
	there, err := pool.Dial("b", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(autobus.WithPrincipal(t.Context(), shop))
	got := make(chan autobus.Delivery, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- there.Subscribe(ctx, autobus.Subscription{Name: "x"}, func(_ context.Context, ds []autobus.Delivery) {
			got <- ds[0]
		})
	}()
	if who := <-o.who; who.Name != "shop" || who.Via != "a" {
		t.Errorf("%+v subscribes", who)
	}
	d := <-got
	ss := []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Release}}}
	if err := there.Settle(ctx, ss); err != nil || ss[0].Err == nil || ss[0].Err.Reason != autobus.ReasonNotOwner {
		t.Errorf("settle: %v, %v", err, ss[0].Err)
	}
	if who := <-o.who; who.Via != "a" {
		t.Errorf("%+v settles", who)
	}
	if s := <-o.settled; s[0].Lease != "f.1" || s[0].Outcome.Kind != autobus.Release {
		t.Errorf("%+v was settled", s)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAnotherSecretIsRefused(t *testing.T) {
	address := instance(t, peer.NewKeys("the others' secret"), &owner{})
	pool := peer.New(peer.Config{Instance: "a", Keys: peer.NewKeys("sixteen bytes or more")})
	there, err := pool.Dial("b", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx := autobus.WithPrincipal(t.Context(), shop)
	err = there.Subscribe(ctx, autobus.Subscription{Name: "x"}, func(context.Context, []autobus.Delivery) {})
	if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonUnauthenticated}) {
		t.Errorf("got %v", err)
	}
	if err := there.Publish(ctx, &autobus.Batch{}); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonUnimplemented}) {
		t.Errorf("publish: %v", err)
	}
	if err := there.Settle(t.Context(), nil); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonUnauthenticated}) {
		t.Errorf("settle as nobody: %v", err)
	}
	pool.Close()
	if err := there.Settle(ctx, nil); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonShuttingDown}) {
		t.Errorf("settle after the end: %v", err)
	}
}

// Who asks an instance that is gone is not waited for longer than he waits himself.
func TestAnInstanceThatIsGone(t *testing.T) {
	pool := peer.New(peer.Config{Instance: "a", Keys: peer.NewKeys("sixteen bytes or more")})
	defer pool.Close()
	there, err := pool.Dial("b", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(autobus.WithPrincipal(t.Context(), shop), 100*time.Millisecond)
	defer cancel()
	ss := []autobus.Settlement{{Lease: "f.1", Outcome: autobus.Outcome{Kind: autobus.Ack}}}
	if err := there.Settle(ctx, ss); err == nil && ss[0].Err == nil {
		t.Error("it was settled")
	}
}
