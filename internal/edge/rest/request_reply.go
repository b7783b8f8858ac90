// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// writeReply answers with a reply's data and its attributes, in CloudEvents' binary mode. A responder that could not
// answer is a problem; an error that its spec declares is an answer, with its name in ce-error.
func writeReply(w http.ResponseWriter, r *http.Request, reply *ipc.Reply) {
	if reply.Error == autobus.ErrorProblem {
		edge.WriteProblem(w, r, reply.Err())
		return
	}
	h := w.Header()
	set := func(name, value string) {
		if value != "" {
			h.Set("Ce-"+name, autobus.EncodeHeader(value))
		}
	}
	set("Specversion", "1.0")
	set("Id", reply.ID)
	set("Source", reply.Source)
	set("Type", reply.Type)
	set("Subject", reply.Subject)
	set("Dataschema", reply.DataSchema)
	set("Time", reply.Time.Format(time.RFC3339Nano))
	for _, x := range reply.Extensions {
		switch x.Name {
		case autobus.ExtTo: // where it went is nobody's business
		case autobus.ExtTraceParent, autobus.ExtTraceState:
			h.Set(x.Name, x.Value)
		default:
			set(x.Name, x.Value)
		}
	}
	if reply.Data != nil {
		content := reply.ContentType
		if content == "" {
			content = mediaJSON
		}
		h.Set("Content-Type", content)
	}
	h.Set("Content-Length", strconv.Itoa(len(reply.Data)))
	w.WriteHeader(http.StatusOK)
	// A client that left does not read its answer; there is nobody to tell.
	_, _ = w.Write(reply.Data) //nolint:gosec // data of its own content type, sent as such with nosniff
}

// appendReply appends one of several replies, on one line.
func appendReply(dst []byte, reply *ipc.Reply) []byte {
	dst = append(dst, `{"responder":`...)
	dst = autobus.AppendString(dst, reply.Responder)
	if reply.Error != "" {
		dst = append(dst, `,"error":`...)
		dst = autobus.AppendString(dst, reply.Error)
	}
	dst = append(dst, `,"event":`...)
	dst = autobus.AppendEvent(dst, &reply.Event)
	return append(dst, "}\n"...)
}

// appendDone appends the last line.
func appendDone(dst []byte, res ipc.Result) []byte {
	line, _ := json.Marshal(struct { // it holds nothing that cannot be encoded
		Done       bool     `json:"done"`
		Got        int      `json:"got"`
		Missing    []string `json:"missing"`
		Duplicates int      `json:"duplicates"`
	}{true, res.Got, append([]string{}, res.Missing...), res.Duplicates})
	return append(append(dst, line...), '\n')
}

// askMany answers with each reply as it comes, and in the end with who is missing.
func (e *Edge) askMany(ctx context.Context, w http.ResponseWriter, r *http.Request,
	caller *ipc.Caller, ev autobus.Event, want int, t token,
) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q, err := caller.AskEvent(ctx, ev, want)
	if err != nil {
		edge.WriteProblem(w, r, requestError(r, err))
		return
	}
	defer q.Close()
	t.Responders = q.Responders()
	var reply *ipc.Reply
	if errors.Is(q.Err(), autobus.ErrUnknown) {
		// Who is to reply is not known either, so that a last line could not say who is missing.
		if reply = q.Next(); reply == nil {
			edge.WriteProblem(w, r, requestError(r, q.Err()))
			return
		}
	}
	out := newSender(w, e.progress, cancel)
	w.Header().Set("Content-Type", mediaNDJSON)
	w.Header().Set("Location", t.path())
	w.WriteHeader(http.StatusOK)
	err = out.send(nil) // so that the client knows that it was taken
	if reply == nil {
		reply = q.Next()
	}
	for ; reply != nil && err == nil; reply = q.Next() {
		err = out.send(appendReply(nil, reply))
	}
	if err == nil {
		_ = out.send(appendDone(nil, q.Result())) // a client that left does not read it
	}
}
