// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// group is what is published together: the events that could be read and, in their places, the refusals of the rest.
type group struct {
	r     *http.Request
	first int // index of the first item, counted over the whole stream
	items []item
	batch autobus.Batch

	// broken: in mode ordered an item without a readable key may have been of any key, so it stops them all.
	broken bool

	ctx    context.Context // ends when the outcome is no longer waited for
	cancel context.CancelFunc
}

// item is one event of the request.
type item struct {
	at                 int            // its place in the batch
	refused            *autobus.Error // why it never came into the batch
	id                 string         // of a refused one, as far as it could be read
	ownSource, ownTime bool           // brought along; what the bus fills in, the answer tells
}

func newGroup(r *http.Request, o options, first int) *group {
	g := &group{r: r, first: first}
	g.batch.Mode = o.mode
	return g
}

func (g *group) add(ev autobus.Event, err *autobus.Error) {
	if err == nil && g.broken {
		err = autobus.NewError(autobus.ReasonPredecessorFailed, "an earlier event of this request could not be read")
	}
	if err != nil {
		g.items = append(g.items, item{refused: err, id: ev.ID})
		g.broken = g.broken || g.batch.Mode == autobus.Ordered
		return
	}
	g.items = append(g.items, item{at: len(g.batch.Events), ownSource: ev.Source != "", ownTime: !ev.Time.IsZero()})
	g.batch.Events = append(g.batch.Events, ev)
}

// publish appends what could be read. The error means that nothing of it was looked at; then every item is refused.
func (g *group) publish(bus autobus.Bus, timeout time.Duration) *autobus.Error {
	g.ctx, g.cancel = context.WithTimeout(g.r.Context(), timeout)
	if len(g.batch.Events) == 0 {
		return nil
	}
	err := autobus.AsError(bus.Publish(g.ctx, &g.batch))
	if err == nil {
		return nil
	}
	edge.LogCause(g.r, err)
	for i := range g.items {
		if it := &g.items[i]; it.refused == nil {
			it.refused, it.id = err, g.batch.Events[it.at].ID
		}
	}
	g.batch.Events = nil
	return err
}

// wait gives the outcome of each item, in order, and lets go of the group's context.
func (g *group) wait() []autobus.Receipt {
	defer g.cancel()
	var settled []autobus.Receipt
	if len(g.batch.Events) > 0 {
		settled = g.batch.Wait(g.ctx)
	}
	out := make([]autobus.Receipt, len(g.items))
	for i, it := range g.items {
		if it.refused != nil {
			out[i] = autobus.Receipt{Status: autobus.Refused, Err: it.refused}
			continue
		}
		out[i] = settled[it.at]
		if out[i].Err != nil {
			edge.LogCause(g.r, out[i].Err)
		}
	}
	return out
}

// appendResult appends the result of item i as the wire protocol lays it out.
func (g *group) appendResult(dst []byte, i int, rc autobus.Receipt) []byte {
	it := g.items[i]
	ev := autobus.Event{ID: it.id}
	if it.refused == nil {
		ev = g.batch.Events[it.at]
	}
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(g.first+i), 10)
	if ev.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = autobus.AppendString(dst, ev.ID)
	}
	dst = append(dst, `,"status":"`...)
	dst = append(dst, rc.Status.String()...)
	dst = append(dst, '"')
	if rc.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	if rc.Status == autobus.Written {
		dst = append(dst, `,"type":`...)
		dst = autobus.AppendString(dst, ev.Type)
		dst = append(dst, `,"partition":`...)
		dst = strconv.AppendInt(dst, int64(rc.Partition), 10)
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendInt(dst, rc.Offset, 10)
	}
	if rc.Status != autobus.Refused {
		dst = it.appendFilled(dst, &ev, rc.Duplicate)
	}
	if rc.Hint != "" {
		dst = append(dst, `,"hint":`...)
		dst = autobus.AppendString(dst, rc.Hint)
	}
	if rc.Err != nil {
		dst = append(dst, `,"error":`...)
		dst = edge.AppendProblem(dst, rc.Err, edge.RequestID(g.r.Context()))
	}
	return append(dst, '}')
}

// appendFilled tells what the bus filled in; the id stands in every result anyway. The time of a duplicate is that of
// the first copy, which is not known here.
func (it item) appendFilled(dst []byte, ev *autobus.Event, duplicate bool) []byte {
	if !it.ownSource && ev.Source != "" {
		dst = append(dst, `,"source":`...)
		dst = autobus.AppendString(dst, ev.Source)
	}
	if !it.ownTime && !duplicate && !ev.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = ev.Time.AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	return dst
}

// answer writes the results of a request that is not a stream.
func (g *group) answer(w http.ResponseWriter, receipts []autobus.Receipt) {
	body := append(make([]byte, 0, 64+192*len(receipts)), `{"results":[`...)
	for i, rc := range receipts {
		if i > 0 {
			body = append(body, ',')
		}
		body = g.appendResult(body, i, rc)
	}
	body = append(body, "]}\n"...)
	status, after := verdict(receipts)
	edge.SetRetryAfter(w.Header(), after)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that left does not read its answer; there is nobody to tell.
	_, _ = w.Write(body) //nolint:gosec // JSON, sent as such with nosniff
}

// verdict is the one status of many results: 200 all written, 504 all unknown, all refused: their common status, else
// 422; anything mixed 207. With 429 and 503 goes the longest time that one of them asks to wait.
func verdict(receipts []autobus.Receipt) (status int, after time.Duration) {
	var count [autobus.Unknown + 1]int
	for _, rc := range receipts {
		count[rc.Status]++
		if rc.Status != autobus.Refused {
			continue
		}
		after = max(after, edge.RetryAfter(rc.Err))
		if s := edge.Status(rc.Err); status == 0 || s == status {
			status = s
		} else {
			status = http.StatusUnprocessableEntity
		}
	}
	switch len(receipts) {
	case count[autobus.Written]:
		return http.StatusOK, 0
	case count[autobus.Unknown]:
		return http.StatusGatewayTimeout, 0
	case count[autobus.Refused]:
		if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
			after = 0
		}
		return status, after
	}
	return http.StatusMultiStatus, 0
}
