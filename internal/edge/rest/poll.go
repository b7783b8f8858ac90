// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// Bounds of a long poll.
const (
	defaultWait = 20 * time.Second
	maxWait     = 60 * time.Second
	// leastWait is what wait=0 means: time for what lies ready to be handed over.
	leastWait    = 100 * time.Millisecond
	maxPoll      = autobus.MaxBatchEvents
	maxPollBytes = autobus.MaxBatchBytes
)

// poll serves GET /v1/subscriptions/{name}/events: what there is, or what comes first. The leases live on without the
// connection, so that any call may settle them; what is taken and does not reach the client comes again after ack_wait.
func (e *Edge) poll(w http.ResponseWriter, r *http.Request) {
	window, wait, bad := pollOptions(r)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	if r.Method == http.MethodHead {
		return // nobody would read what is leased
	}
	if err := edge.Occupy(r.Context()); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	// A drain ends the wait, too: the client asks again and finds another instance.
	ctx, cancel := edge.StreamContext(r.Context())
	defer cancel(nil)
	// The wait begins once it is open: that there is no such subscription may take longer to find out than a short one.
	over := time.AfterFunc(math.MaxInt64, func() { cancel(nil) })
	defer over.Stop()

	body, found := []byte(`{"deliveries":[`), 0
	err := e.bus.Subscribe(ctx, autobus.Subscription{
		Name: r.PathValue("name"), Window: window, Detached: true,
		Opened:   func(autobus.Address) { over.Reset(wait) },
		Draining: func(time.Time) { cancel(nil) },
	}, func(_ context.Context, ds []autobus.Delivery) {
		for i := range ds {
			if found > 0 {
				body = append(body, ',')
			}
			body = edge.AppendDelivery(body, &ds[i])
			found++
		}
		if len(ds) > 0 {
			cancel(nil) // what comes until Subscribe returns is leased as well and goes along
		}
	})
	if err == nil && ctx.Err() != nil {
		err = ended(r.Context())
	}
	if err != nil && found == 0 {
		edge.WriteProblem(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, append(body, "]}"...))
}

// ended is why a request must not go on: the token was revoked, say; nil when it is not so, or the client left.
func ended(ctx context.Context) error {
	if cause, ok := errors.AsType[*autobus.Error](context.Cause(ctx)); ok {
		return cause
	}
	return nil
}

// pollOptions reads the parameters; a nil window is the policy's.
func pollOptions(r *http.Request) (window *autobus.Window, wait time.Duration, err *autobus.Error) {
	q, err := edge.Query(r, "max", "max_bytes", "wait")
	if err != nil {
		return nil, 0, err
	}
	var w autobus.Window
	if w.Events, err = number(q, "max", autobus.DefaultEvents, maxPoll); err != nil {
		return nil, 0, err
	}
	if w.Bytes, err = number(q, "max_bytes", autobus.DefaultBytes, maxPollBytes); err != nil {
		return nil, 0, err
	}
	if q.Has("max") || q.Has("max_bytes") {
		window = &w
	}
	s, err := edge.Single(q, "wait")
	if err != nil || !q.Has("wait") {
		return window, defaultWait, err
	}
	wait, bad := time.ParseDuration(s)
	if bad != nil || wait < 0 || wait > maxWait {
		return nil, 0, autobus.NewError(autobus.ReasonRequestInvalid, "wait %q is not a duration from 0s to %s",
			edge.Clip(s), maxWait).WithHint("Send it as 20s or 500ms.")
	}
	return window, max(wait, leastWait), nil
}

// streamWindow reads the window of a stream; nil = the policy's.
func streamWindow(r *http.Request) (*autobus.Window, *autobus.Error) {
	q, err := edge.Query(r, "window", "session")
	if err != nil || !q.Has("window") {
		return nil, err
	}
	n, err := number(q, "window", 0, autobus.MaxWindowEvents)
	if err != nil {
		return nil, err
	}
	return &autobus.Window{Events: n}, nil
}

// number reads a parameter from 1 to most.
func number(q url.Values, name string, absent, most int) (int, *autobus.Error) {
	s, err := edge.Single(q, name)
	if err != nil || !q.Has(name) {
		return absent, err
	}
	n, bad := strconv.Atoi(s)
	if bad != nil || n < 1 || n > most {
		return 0, autobus.NewError(autobus.ReasonRequestInvalid, "%s %q is not a number from 1 to %d", name, edge.Clip(s),
			most)
	}
	return n, nil
}
