// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/edge"
)

// operation is what the bodies of all verbs of surgery have in common.
type operation struct {
	DryRun bool   `json:"dry_run"`
	Reason string `json:"reason"` // for the audit; the query's reason serves too
}

func (o operation) surgery(r *http.Request) bus.Surgery {
	s := bus.Surgery{Audit: audit(r), DryRun: o.DryRun}
	if o.Reason != "" {
		s.Reason = o.Reason
	}
	return s
}

// The bodies of the verbs.
type (
	switchBody struct{ operation } // pause, resume

	seekBody struct {
		operation
		To *autobus.Start `json:"to"`
	}
	eventBody struct { // skip, retry
		operation
		Type      string `json:"type"`
		Partition *int32 `json:"partition"`
		Offset    *int64 `json:"offset"`
	}
	replayBody struct {
		operation
		From   time.Time `json:"from"`
		To     time.Time `json:"to"`
		Key    *string   `json:"key"`
		Cancel string    `json:"cancel"` // the id of a replay that is to end; alone
	}
)

// maxReasonBytes bounds what is kept of an audit's reason for ever.
const maxReasonBytes = 1 << 10

func (e *Edge) mountSurgery(mux *http.ServeMux) {
	b := e.cfg.Bus
	handle(mux, "pause", func(ctx context.Context, name string, _ switchBody, s bus.Surgery) (any, error) {
		return b.PauseSubscription(ctx, name, s)
	})
	handle(mux, "resume", func(ctx context.Context, name string, _ switchBody, s bus.Surgery) (any, error) {
		return b.ResumeSubscription(ctx, name, s)
	})
	handle(mux, "seek", func(ctx context.Context, name string, body seekBody, s bus.Surgery) (any, error) {
		if body.To == nil {
			return nil, autobus.NewError(autobus.ReasonRequestInvalid, "it is not said where to").
				WithHint(`Send {"to": "latest"}, "earliest", {"time": "..."} or {"cursors": {"<type>": {"0": 17}}}.`)
		}
		return b.Seek(ctx, name, *body.To, s)
	})
	handle(mux, "skip", func(ctx context.Context, name string, body eventBody, s bus.Surgery) (any, error) {
		at, err := body.event()
		if err != nil {
			return nil, err
		}
		return b.SkipEvent(ctx, name, at, s)
	})
	handle(mux, "retry", func(ctx context.Context, name string, body eventBody, s bus.Surgery) (any, error) {
		at, err := body.event()
		if err != nil {
			return nil, err
		}
		return b.RetryEvent(ctx, name, at, s)
	})
	handle(mux, "replay", func(ctx context.Context, name string, body replayBody, s bus.Surgery) (any, error) {
		slice := bus.Slice{From: body.From, To: body.To, Key: body.Key}
		if body.Cancel == "" {
			return b.ReplayEvents(ctx, name, slice, s)
		}
		if slice != (bus.Slice{}) {
			return nil, autobus.NewError(autobus.ReasonRequestInvalid, "cancel stands alone, beside dry_run and reason")
		}
		return b.CancelReplay(ctx, name, body.Cancel, s)
	})
}

// event is the one that is named.
func (b *eventBody) event() (bus.EventAt, error) {
	if b.Type == "" || b.Partition == nil || b.Offset == nil {
		return bus.EventAt{}, autobus.NewError(autobus.ReasonRequestInvalid,
			"an event is named by type, partition and offset").
			WithHint(`Send {"type": "orders.order.placed.v1", "partition": 0, "offset": 17}.`)
	}
	return bus.EventAt{Type: b.Type, Partition: *b.Partition, Offset: *b.Offset}, nil
}

// handle mounts a verb of a subscription. No body is an empty one.
func handle[B interface {
	surgery(*http.Request) bus.Surgery
}](mux *http.ServeMux, verb string, do func(context.Context, string, B, bus.Surgery) (any, error)) {
	mux.HandleFunc("POST /v1/subscriptions/{name}/"+verb, func(w http.ResponseWriter, r *http.Request) {
		var body B
		raw, bad := edge.ReadBody(w, r, maxPolicyBytes, autobus.ReasonBatchTooLarge)
		if bad == nil && len(raw) > 0 {
			if err := autobus.StrictJSON(raw, &body); err != nil {
				bad = autobus.NewError(autobus.ReasonRequestInvalid, "the body cannot be read: %s", edge.JSONFault(err))
			}
		}
		s := body.surgery(r)
		if bad == nil && len(s.Reason) > maxReasonBytes {
			bad = autobus.NewError(autobus.ReasonRequestInvalid, "the reason has %d bytes, at most %d are kept", len(s.Reason),
				maxReasonBytes)
		}
		if bad != nil {
			edge.WriteProblem(w, r, bad)
			return
		}
		v, err := do(r.Context(), r.PathValue("name"), body, s)
		if err != nil {
			edge.WriteProblem(w, r, err)
			return
		}
		writeJSON(w, r, http.StatusOK, v)
	})
}
