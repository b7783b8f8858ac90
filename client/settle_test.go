// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func TestSettleTellsWhatDidNotCount(t *testing.T) {
	g := newGateway(t)
	g.script = func(c *link, f *frame) bool {
		if f.Op == "ack" {
			var results []string
			for i, o := range f.offsets {
				if word := map[int64]string{11: "stale", 12: "unknown", 13: "invalid"}[o]; word != "" {
					results = append(results, fmt.Sprintf(`{"index":%d,"status":%q}`, i, word))
				}
			}
			c.acked(*f.Seq, `,"results":[`+strings.Join(results, ",")+`]`)
		}
		return f.Op == "ack"
	}
	c := g.client()
	ack := autobus.Outcome{Kind: autobus.Ack}
	ss := []autobus.Settlement{{Lease: "L.10", Outcome: ack}, {Lease: "L.11", Outcome: ack}, {Lease: "L.12", Outcome: ack},
		{Lease: "L.13", Outcome: ack}, {Lease: "forged", Outcome: ack}, {Lease: "L.14", Outcome: autobus.Outcome{Kind: "x"}},
		{Lease: "L.15", Outcome: autobus.Outcome{Kind: autobus.Ack, Delay: 1}}, {Lease: "M.11", Outcome: autobus.Outcome{
			Kind: autobus.Retry, Delay: time.Second}}}
	settle(t, c, ss...)
	for i, want := range []autobus.Reason{"", autobus.ReasonLeaseStale, autobus.ReasonLeaseUnknown,
		autobus.ReasonOutcomeInvalid, autobus.ReasonLeaseUnknown, autobus.ReasonOutcomeInvalid,
		autobus.ReasonOutcomeInvalid, autobus.ReasonLeaseStale} {
		if err := ss[i].Err; (err == nil) != (want == "") || err != nil && err.Reason != want {
			t.Errorf("settlement %d: got %v, want %q", i, err, want)
		}
	}
}

func TestSettleWithoutAnAnswer(t *testing.T) {
	g := newGateway(t)
	g.script = func(c *link, f *frame) bool {
		if f.Op == "ack" && f.Lease == "cut" {
			_ = c.socket.CloseNow()
		}
		return f.Op == "ack"
	}
	c := g.client()
	ss := []autobus.Settlement{{Lease: "cut.1", Outcome: autobus.Outcome{Kind: autobus.Ack}}}
	err := c.Settle(t.Context(), ss)
	if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonServerUnreachable}) || ss[0].Err == nil {
		t.Errorf("got %v, %v", err, ss[0].Err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	ss[0].Lease = "silent.1"
	if err := c.Settle(ctx, ss); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
