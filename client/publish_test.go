// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

func event(id string) autobus.Event {
	return autobus.Event{ID: id, Type: placed, Source: "/test", Time: time.Unix(1, 0), Data: []byte(`{"id":"` + id + `"}`)}
}

func batch(ids ...string) *autobus.Batch {
	b := &autobus.Batch{}
	for _, id := range ids {
		b.Events = append(b.Events, event(id))
	}
	return b
}

func publish(t testing.TB, bus autobus.Bus, b *autobus.Batch) {
	t.Helper()
	if err := bus.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// receipts waits for all of them and demands these outcomes.
func receipts(t testing.TB, b *autobus.Batch, want ...autobus.Status) []autobus.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rs := b.Wait(ctx)
	if ctx.Err() != nil {
		t.Fatal("there are no receipts")
	}
	for i := range want {
		if rs[i].Status != want[i] {
			t.Errorf("event %s is %s (%v), want %s", b.Events[i].ID, rs[i].Status, rs[i].Err, want[i])
		}
	}
	return rs
}

func ids(events []autobus.Event) (out []string) {
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func TestPublishFillsIn(t *testing.T) {
	g := newGateway(t)
	g.script = func(c *link, f *frame) bool {
		if f.Op == "publish" {
			c.published(*f.Seq, `,"source":"/shop","time":"2026-01-02T03:04:05Z","results":[{"index":1,"status":"written",`+
				`"hint":"mind","time":"2027-01-02T03:04:05Z"}]`, g.write(f.events)...)
		}
		return f.Op == "publish"
	}
	c := g.client()
	b := &autobus.Batch{Events: []autobus.Event{{Type: placed, Data: []byte(`{}`)}, {Type: placed, Source: "/own"}}}
	publish(t, c, b)
	rs := receipts(t, b, autobus.Written, autobus.Written)
	if len(b.Events[0].ID) != 36 || b.Events[0].ID == b.Events[1].ID {
		t.Errorf("ids %q and %q", b.Events[0].ID, b.Events[1].ID)
	}
	if b.Events[0].Source != "/shop" || b.Events[1].Source != "/own" || b.Events[0].Time.Year() != 2026 {
		t.Errorf("got %+v", b.Events)
	}
	if rs[0].Hint != "" || rs[1].Hint != "mind" || rs[1].Offset != 1 {
		t.Errorf("got %+v", rs)
	}
	if g.log[0].Source != "" || string(g.log[0].Data) != "{}" || g.log[1].Data != nil {
		t.Errorf("the gateway got %+v", g.log)
	}
}

// TestPublishTogether: what is published while a frame is under way goes into the next one, in order.
func TestPublishTogether(t *testing.T) {
	g := newGateway(t)
	var frames [][]string
	began, proceed := make(chan struct{}), make(chan struct{})
	g.limits = `{"publish_frames":1}`
	g.script = func(c *link, f *frame) bool {
		if f.Op == "publish" {
			frames = append(frames, ids(f.events))
			if len(frames) == 1 {
				close(began)
				<-proceed
			}
			if *f.Stream != 0 {
				t.Errorf("stream %d of batches without one", *f.Stream)
			}
		}
		return false
	}
	c := g.client()
	first := batch("first")
	publish(t, c, first)
	<-began
	var all []*autobus.Batch
	var want []string
	for i := range 20 {
		b := batch(fmt.Sprint(i), fmt.Sprint(i, "x"))
		publish(t, c, b)
		all, want = append(all, b), append(want, ids(b.Events)...)
	}
	close(proceed)
	receipts(t, first, autobus.Written)
	for _, b := range all {
		receipts(t, b, autobus.Written, autobus.Written)
	}
	g.await("the frames", func() bool { return len(g.log) == 41 })
	if got := slices.Concat(frames[1:]...); !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
	if len(frames) > 3 {
		t.Errorf("%d frames, the batches should travel together: %v", len(frames), frames)
	}
}

func TestPublishFramesOfTheirOwn(t *testing.T) {
	g := newGateway(t)
	type sent struct {
		stream int64
		mode   string
		ids    string
	}
	var frames []sent
	block := make(chan struct{})
	g.limits = `{"publish_frames":1}`
	g.script = func(c *link, f *frame) bool {
		if f.Op == "publish" {
			if len(frames) == 0 {
				<-block
			}
			frames = append(frames, sent{*f.Stream, f.Mode, fmt.Sprint(ids(f.events))})
		}
		return false
	}
	c := g.client()
	s := &autobus.Stream{}
	a, b, d, e, h := batch("a"), batch("b"), batch("d"), batch("e"), batch("h")
	b.Stream, d.Stream, e.Mode = s, s, autobus.Ordered
	for _, x := range []*autobus.Batch{a, b, d, e, h} {
		publish(t, c, x)
	}
	close(block)
	for _, x := range []*autobus.Batch{a, b, d, e, h} {
		receipts(t, x, autobus.Written)
	}
	want := []sent{{0, "", "[a]"}, {1, "", "[b d]"}, {0, "ordered", "[e]"}, {0, "", "[h]"}}
	if !slices.Equal(frames, want) {
		t.Errorf("sent %v, want %v", frames, want)
	}
	runtime.KeepAlive(s)
}

// TestPublishSendsAgain: what was in flight is sent again on the next connection, in its old order, before anything
// newer, under the same ids.
func TestPublishSendsAgain(t *testing.T) {
	g := newGateway(t)
	var got []string
	g.script = func(c *link, f *frame) bool {
		if f.Op != "publish" {
			return false
		}
		if c.number > 0 {
			got = append(got, ids(f.events)...)
			return false
		}
		if f.events[0].ID == "1" { // written, and nobody told
			g.write(f.events[:1])
		}
		if slices.Contains(ids(f.events), "3") {
			_ = c.socket.CloseNow()
		}
		return true
	}
	c := g.client()
	s := &autobus.Stream{}
	var all []*autobus.Batch
	for _, id := range []string{"1", "2", "3", "4"} {
		b := batch(id)
		b.Stream = s
		publish(t, c, b)
		all = append(all, b)
	}
	if rs := receipts(t, all[0], autobus.Written); !rs[0].Duplicate {
		t.Error("the first was written before; its receipt should say so")
	}
	for _, b := range all {
		receipts(t, b, autobus.Written)
	}
	if !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("the second connection brought %v", got)
	}
	if !slices.Equal(ids(g.log), got) {
		t.Errorf("the log has %v", ids(g.log))
	}
}

func TestPublishGivesUp(t *testing.T) {
	g := newGateway(t)
	var seen atomic.Int32
	g.script = func(c *link, f *frame) bool {
		seen.Add(1)
		return true
	}
	c := g.client(func(cfg *client.Config) { cfg.ResendFor = 50 * time.Millisecond })
	b := batch("a")
	publish(t, c, b)
	if rs := receipts(t, b, autobus.Unknown); rs[0].Err.Reason != autobus.ReasonOutcomeUnknown ||
		!errors.Is(rs[0].Err, &autobus.Error{Reason: autobus.ReasonOutcomeUnknown}) || rs[0].Err.Cause == nil {
		t.Errorf("got %+v", rs[0].Err)
	}

	down := newGateway(t)
	down.accept = func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "no", http.StatusServiceUnavailable)
		return false
	}
	c = down.client(func(cfg *client.Config) { cfg.ResendFor = 50 * time.Millisecond })
	publish(t, c, b)
	if rs := receipts(t, b, autobus.Refused); rs[0].Err.Reason != autobus.ReasonServerUnreachable ||
		!strings.Contains(rs[0].Err.Detail, "503") {
		t.Errorf("what was never sent is told as %v", rs[0].Err)
	}
}

// TestPublishTellsWhyThereIsNoConnection: who only publishes must not have to ask Ready to learn that his token is bad.
func TestPublishTellsWhyThereIsNoConnection(t *testing.T) {
	g := newGateway(t)
	g.accept = func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "no", http.StatusUnauthorized)
		return false
	}
	c := g.client(func(cfg *client.Config) { cfg.ResendFor = 50 * time.Millisecond })
	b := batch("a")
	publish(t, c, b)
	err := receipts(t, b, autobus.Refused)[0].Err
	unauthenticated := autobus.ReasonUnauthenticated.Info()
	if err.Reason != autobus.ReasonServerUnreachable || !strings.Contains(err.Detail, "401") ||
		!errors.Is(err, &autobus.Error{Reason: unauthenticated.Reason}) || err.NextStep() != unauthenticated.Hint {
		t.Errorf("a bad token is told as %v: %v", err, err.NextStep())
	}
}
