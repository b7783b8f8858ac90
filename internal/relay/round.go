// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// round publishes the oldest rows that may go and writes down what became of them. found says that there were any, more
// that others may go at once, without anybody telling. What is in flight when ctx ends is waited for, as long as
// Config.Drain says.
func (t *term) round(ctx context.Context) (found, more bool, err error) {
	hold := t.relay.cfg.OnRefused == Hold
	rows, full, err := t.session.next(ctx, t.relay.cfg.Batch, hold, t.pauses)
	t.heard = time.Now()
	if err != nil || len(rows) == 0 {
		return false, false, err
	}
	ctx, cancel := drained(ctx, t.relay.cfg.Drain)
	defer cancel()
	var batch autobus.Batch
	if hold {
		batch.Mode = autobus.Ordered
	}
	receipts := make([]autobus.Receipt, len(rows))
	stopped := map[lane]bool{} // by a row that cannot be sent at all
	var sent []int             // indexes of rows
	for i := range rows {
		switch r := &rows[i]; {
		case hold && r.lane.keyed && stopped[r.lane]:
			receipts[i] = autobus.Receipt{Status: autobus.Refused,
				Err: autobus.NewError(autobus.ReasonPredecessorFailed, "it is behind a refused row")}
		case r.fault != nil:
			receipts[i] = autobus.Receipt{Status: autobus.Refused, Err: r.fault}
			stopped[r.lane] = true
		default:
			batch.Events = append(batch.Events, r.event)
			sent = append(sent, i)
		}
	}
	got, err := t.publish(ctx, &batch)
	if err != nil {
		return true, false, err
	}
	for k, i := range sent {
		receipts[i] = got[k]
	}
	progress, err := t.settle(ctx, rows, receipts)
	behind := func(r autobus.Receipt) bool { return r.Status != autobus.Written && reach(r) == ofNone }
	return true, progress && (full || slices.ContainsFunc(receipts, behind)), err
}

// drained is a context that goes on for a while after ctx.
func drained(ctx context.Context, drain time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		late := time.NewTimer(drain)
		defer late.Stop()
		select {
		case <-late.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() {
		stop()
		cancel()
	}
}

// publish returns when every event has its outcome. Meanwhile it looks whether the session is there: without it the
// lock is gone too, another relay may begin, and nothing more may be sent by this one.
func (t *term) publish(ctx context.Context, b *autobus.Batch) ([]autobus.Receipt, error) {
	if len(b.Events) == 0 {
		return nil, nil
	}
	if time.Since(t.heard) > heartbeat { // this process stood still, and the session may be another's by now
		if err := t.beat(ctx); err != nil {
			return nil, err
		}
	}
	settled := make(chan struct{})
	b.Done = func(*autobus.Batch) { close(settled) }
	if err := t.bus.Publish(ctx, b); err != nil {
		return nil, err
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-settled:
			return b.Receipts, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-ticker.C:
			err := t.beat(ctx)
			if err == nil && time.Since(t.measured) >= measureEvery {
				err = t.measure(ctx)
			}
			if err != nil {
				return nil, err
			}
		}
	}
}

// settle writes down the outcomes, and decides what waits how long. It reports whether anything came to its end.
func (t *term) settle(ctx context.Context, rows []row, receipts []autobus.Receipt) (progress bool, err error) {
	var written []int64
	var others []verdict
	var down *autobus.Error
	now := time.Now()
	failed := map[lane]bool{}
	types := map[string]bool{}
	for i, rec := range receipts {
		r := &rows[i]
		t.relay.metrics.count(rec)
		if rec.Status == autobus.Written {
			written = append(written, r.seq)
			t.pauses.worked(r.lane)
			continue
		}
		switch s := reach(rec); s {
		case ofBus:
			down = rec.Err
		case ofRow:
			others = append(others, verdict{r, true, true, rec.Err.Reason, detail(rec.Err)})
		case ofType, ofLane:
			first := s == ofType && !types[r.lane.typ] || s == ofLane && !failed[r.lane]
			if first {
				types[r.lane.typ], failed[r.lane] = types[r.lane.typ] || s == ofType, true
				t.pauses.failed(r.lane, s, now)
			}
			if rec.Err != nil {
				others = append(others, verdict{r, false, first, rec.Err.Reason, detail(rec.Err)})
			}
		case ofNone:
		}
	}
	if err := t.session.settle(ctx, written, others, t.relay.cfg.Keep == 0); err != nil {
		return false, err
	}
	t.report(others)
	progress = len(written) > 0
	for _, v := range others {
		progress = progress || v.refused
	}
	if down != nil && len(written) == 0 {
		t.rest.longer(now)
		t.rest.until = now.Add(min(t.rest.wait, 5*time.Second))
		t.relay.trouble(down)
		return false, nil
	}
	t.rest = pause{}
	if len(written) > 0 && t.relay.said != "" {
		t.relay.said = ""
		t.relay.log.Info("relaying again")
	}
	return progress, nil
}

// report logs what was set aside, and the first of those that failed alike; never their data.
func (t *term) report(others []verdict) {
	for _, v := range others {
		about := []any{"seq", v.row.seq, "id", v.row.event.ID, "type", v.row.lane.typ, "reason", string(v.reason), "detail",
			v.detail}
		switch {
		case v.refused:
			t.relay.log.Error("refused: the row is set aside", about...)
		case v.first:
			t.relay.log.Warn("not written: it is tried again", about...)
		}
	}
}

// maxDetail bounds what is kept of why an event was refused.
const maxDetail = 500

// detail is what a refusal says, with the places of the data that it points at.
func detail(e *autobus.Error) string {
	var b strings.Builder
	b.WriteString(e.Detail)
	for _, f := range e.Faults {
		b.WriteString("; " + f.Pointer + " " + f.Rule)
		if f.Want != "" {
			b.WriteString(": want " + f.Want)
		}
	}
	s := strings.ReplaceAll(strings.ToValidUTF8(b.String(), "\uFFFD"), "\x00", "\uFFFD")
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}
