// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// token is what the URL of a request says: which replies are its own, and since when they are in the log. There is no
// state of it anywhere, so any instance serves it. It is a secret by its address, which only the principal that it was
// made for may read.
type token struct {
	Address    autobus.Address `json:"a"`
	ID         string          `json:"i"`
	Type       string          `json:"t"`
	Replies    int             `json:"n"`
	Since      time.Time       `json:"s"`
	Deadline   time.Time       `json:"d"`
	Responders []string        `json:"r,omitempty"`
}

const (
	requestsPath = "/v1/requests/"
	maxToken     = 8 << 10
	clockSkew    = 30 * time.Second // between instances, whose clocks stamp records
	repliesKept  = 15 * time.Minute
	lateReplies  = 5 * time.Second // after the deadline a reply may still be on its way
)

func newToken(to autobus.Address, ev *autobus.Event, o request) token {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return token{Address: to, ID: ev.ID, Type: ev.Type, Replies: o.replies, Since: now, Deadline: now.Add(o.timeout)}
}

func (t token) path() string {
	if len(t.Responders) > maxToken/256 { // so many names do not fit; who is missing is then not told
		t.Responders = nil
	}
	b, _ := json.Marshal(t) // it holds nothing that cannot be encoded
	return requestsPath + base64.RawURLEncoding.EncodeToString(b)
}

func readToken(text string) (t token, err *autobus.Error) {
	unknown := autobus.NewError(autobus.ReasonRequestUnknown, "no request has this token")
	b, bad := base64.RawURLEncoding.DecodeString(text)
	if bad != nil || len(text) > maxToken || autobus.StrictJSON(b, &t) != nil || t.Address == "" || t.ID == "" ||
		t.Replies == 0 || t.Replies < ipc.All || t.Replies > maxReplies {
		return t, unknown
	}
	if time.Since(t.Deadline) > repliesKept {
		unknown.Detail = "its replies are no longer kept"
		return t, unknown
	}
	return t, nil
}

// resume serves GET /v1/requests/{token}: the replies that are in the log, at once or, with wait, when they come.
func (e *Edge) resume(w http.ResponseWriter, r *http.Request) {
	wait, bad := resumeWait(r)
	var t token
	if bad == nil {
		t, bad = readToken(r.PathValue("token"))
	}
	if bad == nil {
		bad = edge.Occupy(r.Context())
	}
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	found, err := e.collect(r.Context(), t, wait)
	switch {
	case errors.Is(err, &autobus.Error{Reason: autobus.ReasonReplyAddress}):
		edge.WriteProblem(w, r, autobus.NewError(autobus.ReasonRequestUnknown, "no request of yours has this token"))
	case err != nil:
		edge.WriteProblem(w, r, err)
	case !found.enough() && time.Since(t.Deadline) < lateReplies:
		res := found.result()
		writeOpen(w, t, &res)
	case t.Replies == 1 && len(found.replies) > 0:
		writeReply(w, r, found.replies[0])
	case t.Replies == 1:
		edge.WriteProblem(w, r, autobus.NewError(autobus.ReasonReplyTimeout, "no reply to %s came in time", t.Type).
			WithHint("Ask again."))
	default:
		var body []byte
		for _, reply := range found.replies {
			body = appendReply(body, reply)
		}
		w.Header().Set("Content-Type", mediaNDJSON)
		_, _ = w.Write(appendDone(body, found.result()))
	}
}

func resumeWait(r *http.Request) (time.Duration, *autobus.Error) {
	q, err := edge.Query(r, "wait")
	if err != nil {
		return 0, err
	}
	s, err := edge.Single(q, "wait")
	if err != nil || !q.Has("wait") {
		return 0, err
	}
	wait, bad := time.ParseDuration(s)
	if bad != nil || wait < 0 || wait > maxWait {
		return 0, autobus.NewError(autobus.ReasonRequestInvalid, "wait %q is not a duration from 0s to %s", edge.Clip(s),
			maxWait).WithHint("Send it as 20s or 500ms.")
	}
	return wait, nil
}

// collect reads what was replied to a request until it is enough, or what there is was read and wait is over.
func (e *Edge) collect(ctx context.Context, t token, wait time.Duration) (*found, error) {
	ctx, cancel := edge.StreamContext(ctx)
	defer cancel(nil)
	f := newFound(t)
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	err := e.bus.Subscribe(ctx, autobus.Subscription{Inbox: true, Address: t.Address,
		From:   autobus.Start{Time: t.Since.Add(-clockSkew)},
		Opened: func(autobus.Address) { timer = time.AfterFunc(wait, func() { cancel(nil) }) },
	}, func(_ context.Context, ds []autobus.Delivery) {
		for i := range ds {
			f.take(&ds[i])
		}
		if f.enough() {
			cancel(nil)
		}
	})
	if err == nil && !f.enough() {
		err = ended(ctx)
	}
	return f, err
}

// writeOpen answers that the request is open: 202, with the place to ask again at.
func writeOpen(w http.ResponseWriter, t token, res *ipc.Result) {
	answer := struct {
		Status   string    `json:"status"`
		ID       string    `json:"id"`
		Deadline time.Time `json:"deadline"`
		Got      int       `json:"got,omitempty"`
		Missing  []string  `json:"missing,omitempty"`
	}{Status: "open", ID: t.ID, Deadline: t.Deadline, Missing: t.Responders}
	if res != nil {
		answer.Got, answer.Missing = res.Got, res.Missing
	}
	body, _ := json.Marshal(answer) // it holds nothing that cannot be encoded
	w.Header().Set("Location", t.path())
	writeJSON(w, http.StatusAccepted, body)
}
