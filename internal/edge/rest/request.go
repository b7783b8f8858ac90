// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// request serves POST /v1/requests/{type}: the event is published with a reply address, and what is replied to it is
// the answer. Whoever answers does so at any instance.
func (e *Edge) request(w http.ResponseWriter, r *http.Request) {
	if e.callers == nil {
		edge.WriteProblem(w, r, autobus.NewError(autobus.ReasonUnimplemented, "requests are not offered"))
		return
	}
	o, bad := requestOptions(r)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	ev, bad := readRequest(w, r)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	if o.replies == 0 {
		e.tell(w, r, &ev, o)
		return
	}
	if err := edge.Occupy(r.Context()); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), o.timeout)
	defer cancel()
	caller, err := e.callers.Of(ctx)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	if ev.ID == "" {
		ev.ID = autobus.NewID(time.Now())
	}
	token := newToken(caller.Address(), &ev, o)
	switch {
	case o.async:
		e.askLater(ctx, w, r, caller, &ev, token)
	case o.replies == 1:
		e.askOne(ctx, w, r, caller, ev, token)
	default:
		e.askMany(ctx, w, r, caller, ev, o.replies, token)
	}
}

// readRequest reads an event as POST /v1/events/{type} does; its data may be of any content type.
func readRequest(w http.ResponseWriter, r *http.Request) (ev autobus.Event, err *autobus.Error) {
	if err := checkReserved(r.Header); err != nil {
		return ev, err
	}
	media, err := mediaType(r.Header)
	if err != nil {
		return ev, err
	}
	if media == mediaNDJSON || strings.HasPrefix(media, "application/cloudevents") {
		return ev, autobus.NewError(autobus.ReasonMediaType, "a request is one event, and the body its data").
			WithHint("Send the data with its own content type, such as %s.", mediaJSON)
	}
	body, err := edge.ReadBody(w, r, maxSingle, autobus.ReasonEventTooLarge)
	if err != nil {
		return ev, err
	}
	ev = autobus.Event{Type: r.PathValue("type"), ContentType: r.Header.Get("Content-Type"), Data: body}
	if ev.ContentType == "" {
		ev.ContentType = mediaJSON
	}
	if err := fromHeaders(&ev, r.Header, false); err != nil {
		return ev, err
	}
	if _, own := ev.Ext(autobus.ExtReplyTo); own {
		return ev, autobus.NewError(autobus.ReasonRequestInvalid, "ce-replyto is set by the bus here").
			WithHint("Leave it away; who has an inbox publishes requests by POST /v1/events.")
	}
	if _, reply := autobus.RequestType(ev.Type); reply {
		return ev, autobus.NewError(autobus.ReasonTypeInvalid, "%q names replies, which nobody can be asked for",
			edge.Clip(ev.Type)).WithHint("Reply by POST /v1/events.")
	}
	traceOf(r.Header).set(&ev)
	return ev, nil
}

// tell publishes a request that wants no reply: 202 once it is written.
func (e *Edge) tell(w http.ResponseWriter, r *http.Request, ev *autobus.Event, o request) {
	p := edge.NewParcel(r, autobus.Independent, nil, 0)
	p.Add(*ev, nil)
	if err := p.Publish(e.bus, o.timeout); err != nil {
		p.Cancel()
		edge.WriteProblem(w, r, err)
		return
	}
	receipts := p.Wait()
	if err := receipts[0].AsError(); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	writeJSON(w, http.StatusAccepted, append(p.AppendResults([]byte(`{"results":`), receipts), '}'))
}

// askLater publishes a request whose replies are fetched later: 202, with the place.
func (e *Edge) askLater(ctx context.Context, w http.ResponseWriter, r *http.Request,
	caller *ipc.Caller, ev *autobus.Event, t token,
) {
	ev.SetExt(autobus.ExtReplyTo, string(caller.Address()))
	if _, has := ev.Ext(autobus.ExtExpiryTime); !has {
		ev.SetExt(autobus.ExtExpiryTime, t.Deadline.UTC().Format(time.RFC3339Nano))
	}
	rc, err := autobus.PublishOne(ctx, e.bus, *ev)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	t.Responders = rc.Responders
	if rc.Duplicate { // its replies may be older than this call of it
		t.Since = t.Since.Add(-repliesKept)
	}
	w.Header().Set("Preference-Applied", "respond-async")
	writeOpen(w, t, nil)
}

// askOne answers with the one reply that was wanted.
func (e *Edge) askOne(ctx context.Context, w http.ResponseWriter, r *http.Request,
	caller *ipc.Caller, ev autobus.Event, t token,
) {
	q, err := caller.AskEvent(ctx, ev, 1)
	if err != nil {
		edge.WriteProblem(w, r, requestError(r, err))
		return
	}
	defer q.Close()
	t.Responders = q.Responders()
	reply := q.Next()
	if reply == nil {
		w.Header().Set("Location", t.path()) // the answer may come yet, and can be fetched from any instance
		edge.WriteProblem(w, r, requestError(r, q.Err()))
		return
	}
	writeReply(w, r, reply)
}

// requestError tells a request that this instance had to cut off from one to which nobody replied.
func requestError(r *http.Request, err error) error {
	if gone := ended(r.Context()); gone != nil && errors.Is(err, context.Canceled) {
		return gone
	}
	return err
}
