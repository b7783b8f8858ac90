// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// maxCalls is how many requests a Caller has at a time. Each may hold an event and its answer in memory.
const maxCalls = 500

// Caller is the side of an HTTP client.
type Caller struct {
	Bus     autobus.Bus
	Type    string            // of what is sent to the listener's own address; "" = only Routes
	Routes  map[string]string // host, in lower case and without port, to type; also of a forward proxy
	Clients []netip.Prefix    // networks that may use it beside loopback
	Wait    time.Duration     // for an answer; 0 = ipc.DefaultTimeout
	Logger  *slog.Logger

	who     autobus.Principal
	callers *ipc.Callers
	calls   chan struct{} // a token for each
}

// Run serves the listener until ctx ends; requests in flight then have Wait, at most 25 s, to end. It asks as the
// principal in ctx; a client of a gateway has its token for that and wants none.
func (c *Caller) Run(ctx context.Context, listener net.Listener) error {
	if c.Wait == 0 {
		c.Wait = ipc.DefaultTimeout
	}
	c.calls = make(chan struct{}, maxCalls)
	c.callers = ipc.NewCallers(c.Bus)
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		who.Name = "bridge" // under some name the inbox has to be kept
	}
	c.who = who
	inboxes, closeInboxes := context.WithCancel(context.WithoutCancel(ctx)) // requests in flight need theirs
	closed := make(chan error, 1)
	go func() { closed <- c.callers.Run(inboxes) }()
	server := edge.Server{Listener: listener, Handler: c, Logger: c.Logger, Options: true,
		DrainFor: min(c.Wait, autobus.DefaultGrace)}
	err := server.Run(ctx)
	closeInboxes()
	return errors.Join(err, <-closed)
}

// ServeHTTP implements http.Handler.
func (c *Caller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := c.exchange(w, r)
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // the client left; nothing that looks like an answer may reach it
		}
		e := autobus.AsError(err)
		if e.Reason == autobus.ReasonReplyTimeout { // the API's hint is about its URL for late answers
			e = e.WithHint("It may still be done: ask again if that does no harm, or give the bridge a longer --wait.")
		}
		c.Logger.Warn("refused", append(told(e), "method", r.Method, "host", r.Host, "path", r.URL.Path)...)
		edge.WriteProblem(w, r, e)
		return
	}
	h := w.Header()
	// What the service did not say the server must not say for it.
	h["Date"], h["Content-Type"] = nil, nil
	maps.Copy(h, a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that left does not read its answer
}

// answer is a response that is whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange asks over the bus.
func (c *Caller) exchange(w http.ResponseWriter, r *http.Request) (*answer, error) {
	if err := c.admit(r); err != nil {
		return nil, err
	}
	if strings.EqualFold(r.Header.Get("Upgrade"), "h2c") {
		r.Header.Del("Upgrade") // an offer that a server may pass over, which some clients make each time
	}
	if r.Method == http.MethodConnect || r.Header.Get("Upgrade") != "" {
		return nil, autobus.NewError(autobus.ReasonHTTPUnsupported, "%s asks for another protocol", r.Method)
	}
	typ, refused := c.route(r)
	if refused != nil {
		return nil, refused
	}
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	default:
		return nil, autobus.NewError(autobus.ReasonCapacity, "%d requests wait for their answers", maxCalls).
			WithHint("Try again after retry_after, or start a second bridge.")
	}
	sent, refused := edge.ReadBody(w, r, ipc.MaxHTTPBytes, autobus.ReasonEventTooLarge)
	if refused != nil {
		return nil, refused
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	ctx, cancel := context.WithTimeout(autobus.WithPrincipal(r.Context(), c.who), c.Wait)
	defer cancel()
	caller, err := c.callers.Of(ctx) // one inbox for all clients: to the bus they are the bridge
	if err != nil {
		return nil, err
	}
	e, err := event(r, typ)
	if err != nil {
		return nil, err
	}
	reply, err := caller.CallEvent(ctx, e)
	if err != nil {
		return nil, err
	}
	return response(r, reply)
}

// event makes the event of a request, each time another one: an Idempotency-Key is the service's to honour. Were it the
// event's id, the bus would answer a second attempt by the 503 that the first one got, and refuse
// one whose fields differ.
func event(r *http.Request, typ string) (autobus.Event, error) {
	raw, err := ipc.EncodeRequest(r)
	if err != nil {
		return autobus.Event{}, err
	}
	e := autobus.Event{Type: typ, ContentType: raw.ContentType, Data: raw.Data}
	if parent := r.Header.Get("Traceparent"); parent != "" && autobus.ValidText(parent) {
		e.SetExt(autobus.ExtTraceParent, parent)
	}
	return e, nil
}

// response reads a reply to the end.
func response(r *http.Request, reply *ipc.Reply) (*answer, error) {
	broken := func(err error) error {
		return autobus.NewError(autobus.ReasonResponderFailed, "%s answered what is no whole response of HTTP",
			reply.Responder).WithCause(err)
	}
	resp, err := ipc.DecodeResponse(reply.Data, r)
	if err != nil {
		return nil, broken(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode < http.StatusOK {
		return nil, broken(err)
	}
	return &answer{resp.StatusCode, withoutHops(resp.Header), body}, nil
}

// withoutHops gives fields less those that speak of one connection, which a responder of another make may have left.
func withoutHops(h http.Header) http.Header {
	h = h.Clone()
	for _, named := range h["Connection"] {
		for name := range strings.SplitSeq(named, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
		"Upgrade", "Expect", "Proxy-Authenticate", "Proxy-Authorization"} {
		h.Del(name)
	}
	return h
}
