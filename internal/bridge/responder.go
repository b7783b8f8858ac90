// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// Times of a responder.
const (
	downTime  = 10 * time.Second       // a service that is down is waited for within one attempt
	downPause = 100 * time.Millisecond // before the next look, doubled up to maxPause
	maxPause  = time.Second
	workTime  = 5 * time.Minute // for a request without a deadline
	dialTime  = 5 * time.Second
)

// Responder is the side of an HTTP service.
type Responder struct {
	Bus          autobus.Bus
	Subscription string
	Create       *autobus.Policy // makes the subscription where there is none; nil = it has to exist
	To           *url.URL        // of the service: scheme and host
	Host         string          // to ask for; "" = the one that the client named
	Paths        []string        // that may be asked for, and what is below them; none = every path
	Workers      int             // requests at a time
	Ready        func(is bool)
	Logger       *slog.Logger

	transport *http.Transport
}

// Run answers until ctx ends; requests in flight then have autobus.DefaultGrace to end.
func (p *Responder) Run(ctx context.Context) error {
	p.transport = &http.Transport{
		DialContext: (&net.Dialer{Timeout: dialTime}).DialContext, TLSHandshakeTimeout: dialTime,
		DisableCompression:  true, // bodies pass as they are
		MaxIdleConnsPerHost: p.Workers, IdleConnTimeout: 30 * time.Second,
	}
	defer p.transport.CloseIdleConnections()
	w := autobus.Worker{Bus: p.Bus, Subscription: p.Subscription, Create: p.Create, Workers: p.Workers, Ready: p.Ready,
		Logger: p.Logger, Handle: ipc.Answer(p.Bus, p.Subscription, func(work context.Context, q *ipc.Request) (any, error) {
			return p.answer(ctx, work, q)
		})}
	return w.Run(ctx)
}

// answer asks the service. running ends when the bridge is to stop.
func (p *Responder) answer(running, work context.Context, q *ipc.Request) (any, error) {
	if media, _, err := mime.ParseMediaType(q.ContentType); err != nil || media != ipc.MediaHTTP {
		return nil, autobus.Rejected(autobus.NewError(autobus.ReasonContentType, "the responder takes %s, not %q",
			ipc.MediaHTTP, clip(q.ContentType)))
	}
	in, err := ipc.DecodeRequest(q.Data)
	if err != nil {
		return nil, autobus.Rejected(err)
	}
	if in.Method == http.MethodConnect || in.URL.Opaque != "" {
		return nil, autobus.Rejected(autobus.NewError(autobus.ReasonHTTPUnsupported, "%s asks for a tunnel", in.Method))
	}
	if !below(in.URL.Path, p.Paths) {
		e := autobus.NewError(autobus.ReasonForbidden, "the bridge does not serve the path %s", clip(in.URL.Path)).
			WithHint("Ask the owner of the service; the bridge is started with --path PREFIX for each.")
		return problem(in.Method, edge.Status(e), e)
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, autobus.Rejected(autobus.NewError(autobus.ReasonDataUnreadable, "the data is no whole request of HTTP").
			WithCause(err))
	}
	if q.Expiry().IsZero() {
		var cancel context.CancelFunc
		work, cancel = context.WithTimeout(work, workTime)
		defer cancel()
	}
	resp, err := p.ask(running, work, p.request(work, in, body))
	if err != nil {
		return p.unanswered(work, q, in.Method, err)
	}
	defer resp.Body.Close()
	return p.pass(work, q, in.Method, resp)
}

// request makes the request to the service of one that came over the bus.
func (p *Responder) request(ctx context.Context, in *http.Request, body []byte) *http.Request {
	out := &http.Request{Method: in.Method, Host: in.Host, Header: withoutHops(in.Header), Proto: "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, ContentLength: int64(len(body)),
		URL: &url.URL{Scheme: p.To.Scheme, Host: p.To.Host, Path: in.URL.Path, RawPath: in.URL.RawPath,
			RawQuery: in.URL.RawQuery, ForceQuery: in.URL.ForceQuery}}
	if p.Host != "" {
		out.Host = p.Host
	}
	if _, said := out.Header["User-Agent"]; !said {
		out.Header["User-Agent"] = nil // else net/http names itself
	}
	if len(body) > 0 {
		// With it the transport sends again what an idle connection that the service just closed did not take.
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body, _ = out.GetBody()
	}
	return out.WithContext(ctx)
}

// ask sends the request, as soon as the service takes connections.
func (p *Responder) ask(running, work context.Context, r *http.Request) (*http.Response, error) {
	until := time.Now().Add(downTime)
	for pause := downPause; ; pause = min(2*pause, maxPause) {
		resp, err := p.transport.RoundTrip(r)
		if err == nil || !notSent(err) {
			return resp, err
		}
		if pause == downPause {
			p.Logger.Warn("the service is down", "service", p.To.Host, "cause", err)
		}
		if time.Now().Add(pause).After(until) {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-work.Done():
			return nil, err
		case <-running.Done():
			return nil, err
		}
		if r.GetBody != nil {
			r.Body, _ = r.GetBody()
		}
	}
}

// notSent reports whether there was no connection to send anything over.
func notSent(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

// unanswered says what becomes of a request to which the service gave no answer.
func (p *Responder) unanswered(work context.Context, q *ipc.Request, method string, err error) (any, error) {
	if notSent(err) {
		return nil, autobus.RetryAfter(0, err)
	}
	if work.Err() != nil && !q.Expiry().IsZero() {
		return nil, err
	}
	return p.broken(q, method, autobus.NewError(autobus.ReasonResponderFailed, "the service did not answer to the end").
		WithCause(err))
}

// pass makes the answer of the service's response.
func (p *Responder) pass(work context.Context, q *ipc.Request, method string, resp *http.Response) (any, error) {
	if q.ReplyTo() == "" {
		return nil, nil // it is done, and what the service says of it is for nobody
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusSwitchingProtocols || media == "text/event-stream" && method != http.MethodHead {
		return p.broken(q, method, autobus.NewError(autobus.ReasonHTTPUnsupported, "the service answers by a stream"))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, ipc.MaxHTTPBytes+1))
	switch {
	case err != nil:
		return p.unanswered(work, q, method, err)
	case len(body) > ipc.MaxHTTPBytes:
		return p.broken(q, method, autobus.NewError(autobus.ReasonEventTooLarge,
			"the service's response has more than the %d bytes that pass", ipc.MaxHTTPBytes))
	case len(resp.Trailer) > 0:
		return p.broken(q, method, autobus.NewError(autobus.ReasonHTTPUnsupported, "the service's response has trailers"))
	}
	raw, err := ipc.EncodeResponse(method, resp.StatusCode, resp.Header, body)
	if err != nil {
		return p.broken(q, method, autobus.AsError(err))
	}
	return raw, nil
}

// broken answers whoever waits by 502: the service got the request, and its answer cannot be had again. A request for
// whose answer nobody waits becomes a dead letter, since it may not have been done.
func (p *Responder) broken(q *ipc.Request, method string, e *autobus.Error) (any, error) {
	p.Logger.Warn("no answer can be given", append(told(e), "id", q.ID, "method", method)...)
	if q.ReplyTo() == "" {
		return nil, autobus.Rejected(e)
	}
	return problem(method, http.StatusBadGateway, e)
}

// problem is a response of the bridge itself.
func problem(method string, status int, e *autobus.Error) (any, error) {
	d := edge.Problem(e, "")
	d.Status = status
	body, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return ipc.EncodeResponse(method, status, http.Header{"Content-Type": {"application/problem+json"}},
		append(body, '\n'))
}

// told is an error as the log has it.
func told(e *autobus.Error) []any {
	out := []any{"reason", e.Reason, "detail", e.Detail}
	if e.Cause != nil {
		out = append(out, "cause", e.Cause)
	}
	return out
}
