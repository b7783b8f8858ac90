// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
)

// TestPush follows an event through the real wiring to an endpoint, until the endpoint wants no more.
func TestPush(t *testing.T) {
	in := startInstance(t, testSettings(t))
	posted := make(chan string, 10)
	var status atomic.Int32
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(int(status.Load()))
			posted <- r.Header.Get("ce-id") + " " + string(body)
		}
	}))
	defer endpoint.Close()
	status.Store(http.StatusNoContent)
	ctx := autobus.WithPrincipal(t.Context(), devPrincipal())

	for url, want := range map[string]string{"https://10.0.0.1/x": "not allowed", "http://shop.example": "not https"} {
		p := autobus.Policy{Types: []string{"shop.a.v1"}, Delivery: autobus.PolicyDelivery{Push: &autobus.Push{URL: url}}}
		if _, err := in.bus.PutSubscription(ctx, "inner", p, bus.Audit{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	p := autobus.Policy{Types: []string{"shop.a.v1"}, Start: autobus.Start{Earliest: true},
		Delivery: autobus.PolicyDelivery{Push: &autobus.Push{URL: endpoint.URL}}}
	if _, err := in.bus.PutSubscription(ctx, "shop", p, bus.Audit{}); err != nil {
		t.Fatal(err)
	}
	publish := func(id string) {
		t.Helper()
		if _, err := autobus.Send(ctx, in.bus, "shop.a.v1", json.RawMessage(`{"n":1}`), autobus.WithID(id)); err != nil {
			t.Fatal(err)
		}
	}
	publish("e1")
	if got := <-posted; got != `e1 {"n":1}` {
		t.Errorf("posted %s", got)
	}
	status.Store(http.StatusGone)
	publish("e2")
	<-posted
	changed := make(chan struct{}, 100)
	in.control.Watch(control.KindSubscription, func(control.Record) { changed <- struct{}{} })
	for {
		info, err := in.bus.Describe(ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		if info.State == "paused" {
			if info.Paused.By != "autobus.push" || !strings.Contains(info.Paused.Reason, "410") {
				t.Errorf("paused %+v", info.Paused)
			}
			break
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("not paused")
		}
	}
	status.Store(http.StatusOK)
	if _, err := in.bus.ResumeSubscription(ctx, "shop", bus.Surgery{}); err != nil {
		t.Fatal(err)
	}
	if got := <-posted; got != `e2 {"n":1}` {
		t.Errorf("after the pause %s was posted", got)
	}
	info, err := in.bus.Describe(ctx, "shop")
	if err != nil || info.Push == nil || info.Delivery.Push == nil {
		b, _ := json.Marshal(info)
		t.Errorf("described as %s, %v", b, err)
	}
}
