// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// tail serves GET /v1/tail: everything that comes, to a reader without a group.
func (e *Edge) tail(w http.ResponseWriter, r *http.Request) {
	sub, bad := tailOf(r, time.Now())
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	if r.Method == http.MethodHead {
		return // an answer without a body has no tail
	}
	ctx, cancel := edge.StreamContext(r.Context())
	defer cancel(nil)
	t := &tail{sender: newSender(w, e.progress, cancel), cancel: cancel, last: time.Now()}
	sub.Opened = func(autobus.Address) { t.write(t.begin) }

	var beating sync.WaitGroup
	beating.Go(func() { t.beat(ctx, e.heartbeat) })
	err := e.bus.Subscribe(ctx, sub, func(_ context.Context, ds []autobus.Delivery) {
		t.write(func() error { return t.deliver(ds) })
	})
	end := lastWord(ctx, err)
	cancel(nil)
	beating.Wait()

	if end != nil && end.Reason == autobus.ReasonSlowConsumer {
		e.logger.Info("slow tail closed", slog.String("request_id", edge.RequestID(r.Context())))
	}
	switch {
	case !t.begun && end != nil:
		edge.WriteProblem(w, r, end)
	case t.failed == nil && end != nil:
		edge.LogCause(r, end)
		_ = t.send(append(edge.AppendProblem([]byte(`{"error":`), end, edge.RequestID(r.Context())), "}\n"...))
	}
}

func tailOf(r *http.Request, now time.Time) (s autobus.Subscription, err *autobus.Error) {
	q, err := query(r, "type", "filter", "from")
	if err != nil {
		return s, err
	}
	for _, v := range q["type"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				s.Tail = append(s.Tail, name)
			}
		}
	}
	if len(s.Tail) == 0 {
		return s, autobus.NewError(autobus.ReasonRequestInvalid, "the parameter type is missing").
			WithHint("Name one or more types or patterns, such as type=orders.order.placed.v1 or type=orders.*.")
	}
	if s.Filter, err = single(q, "filter"); err != nil {
		return s, err
	}
	from, err := single(q, "from")
	if err != nil {
		return s, err
	}
	s.From, err = start(from, now)
	return s, err
}

// lastWord is why a tail ends; nil when the client left or nothing is to be said.
func lastWord(ctx context.Context, err error) *autobus.Error {
	if ctx.Err() == nil {
		return autobus.AsError(err)
	}
	cause, _ := errors.AsType[*autobus.Error](context.Cause(ctx))
	return cause
}

// tail is the answer of one request. Events come on the bus's goroutine, heartbeats on another.
type tail struct {
	*sender
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	begun  bool
	failed error
	last   time.Time // when something was sent
	buf    []byte
}

// write lets f write, unless writing has failed before. Failing ends the subscription.
func (t *tail) write(f func() error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.locked(f)
}

func (t *tail) locked(f func() error) {
	if t.failed != nil {
		return
	}
	if t.failed = f(); t.failed != nil {
		t.cancel(t.failed)
	}
	t.last = time.Now()
}

func (t *tail) begin() error {
	if t.begun {
		return nil
	}
	t.begun = true
	t.w.Header().Set("Content-Type", mediaNDJSON)
	t.w.Header().Set("Cache-Control", "no-store")
	t.w.WriteHeader(http.StatusOK)
	return t.send(nil)
}

func (t *tail) deliver(ds []autobus.Delivery) error {
	if err := t.begin(); err != nil {
		return err
	}
	t.buf = t.buf[:0]
	for i := range ds {
		t.buf = appendTailed(t.buf, &ds[i])
	}
	return t.send(t.buf)
}

// beat sends a heartbeat after each silence, the first of which also sends the headers when the bus takes its time.
func (t *tail) beat(ctx context.Context, every time.Duration) {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		silent := time.Duration(0)
		// While somebody else writes, or waits to, it is not silent.
		if t.mu.TryLock() {
			if silent = time.Since(t.last); silent >= every {
				t.locked(t.heartbeat)
				silent = 0
			}
			t.mu.Unlock()
		}
		timer.Reset(every - silent)
	}
}

func (t *tail) heartbeat() error {
	if err := t.begin(); err != nil {
		return err
	}
	line := append([]byte(`{"heartbeat":"`), time.Now().UTC().Format(time.RFC3339Nano)...)
	return t.send(append(line, "\"}\n"...))
}

// appendTailed appends the line of one delivery. The record's key stands beside the event, which is given as it was
// published: what the bus took from the data is no attribute of it.
func appendTailed(dst []byte, d *autobus.Delivery) []byte {
	ev := &d.Event
	dst = append(dst, `{"type":`...)
	dst = autobus.AppendString(dst, ev.Type)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(d.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, d.Offset, 10)
	if ev.Unspecified {
		dst = append(dst, `,"unspecified":true`...)
	}
	switch {
	case ev.Key == nil:
	case utf8.Valid(ev.Key):
		dst = append(dst, `,"key":`...)
		dst = autobus.AppendString(dst, string(ev.Key))
	default:
		dst = append(dst, `,"key_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, ev.Key)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"event":`...)
	dst = autobus.AppendEvent(dst, ev)
	return append(dst, "}\n"...)
}
