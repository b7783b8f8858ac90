// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

// refusing makes a gateway that refuses the first attempt of an event whose id begins with its reason.
func refusing(g *gateway) {
	tried := map[string]bool{}
	g.script = func(c *link, f *frame) bool {
		if f.Op != "publish" {
			return false
		}
		rs := g.write(slices.DeleteFunc(slices.Clone(f.events), func(e autobus.Event) bool {
			reason, _, _ := strings.Cut(e.ID, "-")
			_, known := reasons[reason]
			return known && !tried[e.ID]
		}))
		var out []autobus.Receipt
		var told []string
		for i, e := range f.events {
			reason, _, _ := strings.Cut(e.ID, "-")
			status, known := reasons[reason]
			if !known || tried[e.ID] {
				out, rs = append(out, rs[0]), rs[1:]
				continue
			}
			tried[e.ID] = true
			out = append(out, autobus.Receipt{Status: status})
			told = append(told, refusedResult(i, autobus.Reason(reason)))
		}
		c.published(*f.Seq, `,"results":[`+strings.Join(told, ",")+`]`, out...)
		return true
	}
}

var reasons = map[string]autobus.Status{
	string(autobus.ReasonCapacity): autobus.Refused, string(autobus.ReasonDataInvalid): autobus.Refused,
	string(autobus.ReasonPredecessorFailed): autobus.Refused, string(autobus.ReasonOutcomeUnknown): autobus.Unknown,
}

func streamed(s *autobus.Stream, ids ...string) *autobus.Batch {
	b := batch(ids...)
	b.Stream = s
	return b
}

// TestStreamIsHeldBackOverConnections: what the gateway of the lost connection would have refused, the client does.
func TestStreamIsHeldBackOverConnections(t *testing.T) {
	g := newGateway(t)
	refusing(g)
	c := g.client()
	s := &autobus.Stream{}
	b := streamed(s, "capacity-1", "data_invalid-2")
	publish(t, c, b)
	rs := receipts(t, b, autobus.Refused, autobus.Refused)
	if rs[0].Err.Reason != autobus.ReasonCapacity || !rs[0].Err.Retriable() || rs[1].Err.Retriable() {
		t.Errorf("refused with %v and %v", rs[0].Err, rs[1].Err)
	}
	same := streamed(s, "same") // connection, so that the gateway judges
	publish(t, c, same)
	receipts(t, same, autobus.Written)

	g.cut()
	g.await("the next connection", func() bool { return g.made == 2 })
	other := event("other")
	other.Type = "orders.order.shipped.v1"
	next := streamed(s, "next")
	next.Events = append(next.Events, other)
	publish(t, c, next)
	rs = receipts(t, next, autobus.Refused, autobus.Written)
	if rs[0].Err.Reason != autobus.ReasonPredecessorFailed || !strings.Contains(rs[0].Err.Detail, "capacity-1") {
		t.Errorf("refused with %v", rs[0].Err)
	}
	beside, alone := streamed(&autobus.Stream{}, "beside"), batch("alone")
	for _, b := range []*autobus.Batch{beside, alone} {
		publish(t, c, b)
		receipts(t, b, autobus.Written)
	}
	again := streamed(s, "capacity-1", "next") // now it stands behind
	publish(t, c, again)
	receipts(t, again, autobus.Written, autobus.Written)
	if want := []string{"same", "other", "beside", "alone", "capacity-1", "next"}; !slices.Equal(ids(g.log), want) {
		t.Errorf("the log has %v, want %v", ids(g.log), want)
	}
}

// TestStreamIsHeldBackByWhatWasGivenUp: the client itself gave up an event, so no gateway knows.
func TestStreamIsHeldBackByWhatWasGivenUp(t *testing.T) {
	g := newGateway(t)
	var mended atomic.Bool
	g.script = func(c *link, f *frame) bool { return f.Op == "publish" && f.events[0].ID == "lost" && !mended.Load() }
	c := g.client(func(cfg *client.Config) { cfg.ResendFor = 100 * time.Millisecond })
	s := &autobus.Stream{}
	lost, next := streamed(s, "lost"), streamed(s, "next")
	publish(t, c, lost)
	receipts(t, lost, autobus.Unknown)
	publish(t, c, next)
	if r := receipts(t, next, autobus.Refused)[0]; r.Err.Reason != autobus.ReasonPredecessorFailed {
		t.Errorf("refused with %v", r.Err)
	}
	mended.Store(true)
	again := streamed(s, "lost", "next")
	publish(t, c, again)
	receipts(t, again, autobus.Written, autobus.Written)
}

func TestUnknownIsSentAgain(t *testing.T) {
	g := newGateway(t)
	refusing(g)
	c := g.client(func(cfg *client.Config) { cfg.ResendFor = 3 * time.Second })
	alone := batch("a", "outcome_unknown-1", "b")
	publish(t, c, alone)
	receipts(t, alone, autobus.Written, autobus.Written, autobus.Written)
	stream := streamed(&autobus.Stream{}, "outcome_unknown-2")
	publish(t, c, stream)
	if r := receipts(t, stream, autobus.Unknown)[0]; r.Err.Reason != autobus.ReasonOutcomeUnknown {
		t.Errorf("got %v", r.Err)
	}
}

// TestAnothersFailureIsNotShown: batches that only travelled together do not hold each other back.
func TestAnothersFailureIsNotShown(t *testing.T) {
	g := newGateway(t)
	refusing(g)
	block, first := make(chan struct{}), make(chan struct{})
	inner := g.script
	g.script = func(c *link, f *frame) bool {
		if f.Op == "publish" && f.events[0].ID == "first" {
			close(first)
			<-block
		}
		return inner(c, f)
	}
	g.limits = `{"publish_frames":1}`
	c := g.client()
	all := []*autobus.Batch{batch("first")}
	publish(t, c, all[0])
	<-first
	for _, id := range []string{"capacity-1", "predecessor_failed-2", "x"} {
		b := batch(id)
		publish(t, c, b)
		all = append(all, b)
	}
	own := batch("capacity-3", "predecessor_failed-4")
	publish(t, c, own)
	close(block)
	receipts(t, all[1], autobus.Refused)
	receipts(t, all[2], autobus.Written)
	receipts(t, all[3], autobus.Written)
	receipts(t, own, autobus.Refused, autobus.Refused)
}

// TestStreamsAreForgotten: the gateway keeps what a stream needs only as long as somebody has it.
func TestStreamsAreForgotten(t *testing.T) {
	g := newGateway(t)
	forgot, numbers := map[int64]bool{}, map[int64]bool{}
	g.script = func(c *link, f *frame) bool {
		g.change(func() {
			switch f.Op {
			case "forget":
				forgot[*f.Stream] = true
			case "publish":
				numbers[*f.Stream] = true
			}
		})
		return false
	}
	c := g.client()
	for i := range 1100 {
		b := streamed(&autobus.Stream{}, fmt.Sprint(i))
		publish(t, c, b)
		receipts(t, b, autobus.Written)
	}
	g.await("what the full table pushes out", func() bool { return len(numbers) == 1100 && len(forgot) >= 100 })
	runtime.GC() // nobody has the streams
	runtime.GC()
	g.await("the rest", func() bool { return len(forgot) >= 1000 })
}
