// SPDX-License-Identifier: Apache-2.0

package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// maxAnswer is read of an answer, so that the connection can be used again. Only one to a batch is looked at.
const maxAnswer = 16 << 10

// verdict is what an answer means.
type verdict struct {
	status  int
	err     error         // nil = done
	about   about         // of an error
	wait    time.Duration // that the endpoint asked for
	outcome string        // for the metrics
}

// about is what a failure is about.
type about int

const (
	theEvent    about = iota // it counts as an attempt
	theEndpoint              // it counts for nobody, and all events wait
	nobody                   // the lease was lost or the worker stops
	gone                     // the endpoint wants no more, ever
)

// post sends events once.
func (e *endpoint) post(ctx context.Context, ds []*autobus.Delivery) verdict {
	var keys [][]byte
	var err error
	if e.push.SecretFile != "" {
		if keys, err = secrets(e.cfg.Secrets, e.push.SecretFile); err != nil {
			return verdict{err: fmt.Errorf("secret_file: %w", err), about: theEndpoint, outcome: "blocked"}
		}
	}
	if v := e.shakeHands(ctx); v.err != nil {
		return v
	}
	if err := e.pace(ctx); err != nil {
		return verdict{err: err, about: nobody, outcome: "given_up"}
	}
	own, cancel := context.WithTimeout(ctx, time.Duration(e.policy.AckWait))
	defer cancel()
	req, err := e.request(own, ds, keys)
	if err != nil {
		return verdict{err: err, about: theEvent, outcome: "failed"}
	}
	res, err := e.client.Do(req)
	if err != nil {
		return e.unanswered(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	v := judge(res.StatusCode, res.Header, time.Now())
	if e.push.Batch != nil && v.err == nil {
		return e.judgeEach(ctx, v, res, ds)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // it said by its status what there is to say
	return v
}

// judgeEach reads what a successful answer to a batch says of its events.
func (e *endpoint) judgeEach(ctx context.Context, v verdict, res *http.Response, ds []*autobus.Delivery) verdict {
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(maxOutcomes(len(ds)))+1))
	if err != nil {
		return e.unanswered(ctx, fmt.Errorf("the endpoint's answer broke off: %w", err))
	}
	es, said, err := outcomes(res.Header, res.StatusCode, body, ds)
	switch {
	case err != nil:
		v.err, v.outcome = err, "failed"
	case said && slices.ContainsFunc(es, func(err error) bool { return err != nil }):
		v.err, v.outcome = es, "partly"
	}
	return v
}

// unanswered judges a request without an answer: who cannot be reached is no matter of the event, who was reached and
// did not answer may have stumbled over it.
func (e *endpoint) unanswered(ctx context.Context, err error) verdict {
	if ctx.Err() != nil {
		return verdict{err: context.Cause(ctx), about: nobody, outcome: "given_up"}
	}
	var dial *net.OpError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var refused *addressError
	if errors.As(err, &refused) || errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, &cert) ||
		errors.As(err, &record) {
		return verdict{err: bare(err), about: theEndpoint, outcome: "blocked"}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", e.policy.AckWait)
	}
	return verdict{err: bare(err), about: theEvent, outcome: "failed"}
}

// bare takes the URL off an error: it may hold what only the subscription's owner should see, and goes to logs.
func bare(err error) error {
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "Post ") ||
		inner != nil && strings.HasPrefix(err.Error(), "Options ") {
		return inner
	}
	return err
}

// judge says what a status means. Statuses about a request's content count as attempts and are no verdict on the event:
// a proxy or a faulty release answers 400 to everything, and the breaker tells that from poison.
func judge(status int, h http.Header, now time.Time) verdict {
	v := verdict{status: status, err: fmt.Errorf("the endpoint answered %d %s", status, http.StatusText(status)),
		wait: retryAfter(h.Get("Retry-After"), now), outcome: "failed"}
	switch {
	case status >= 200 && status < 300:
		return verdict{status: status, outcome: "done"}
	case status == http.StatusGone:
		v.about, v.outcome = gone, "gone"
	case status < 400:
		v.err = fmt.Errorf("%w; redirects are not followed", v.err)
		v.about, v.outcome = theEndpoint, "blocked"
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound,
		status == http.StatusMethodNotAllowed, status == http.StatusProxyAuthRequired:
		v.about, v.outcome = theEndpoint, "blocked"
	}
	return v
}

// retryAfter reads seconds or a date; 0 = nothing that can be read. A number beyond all measure still asks for long: it
// is not to be taken for no wish at all.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		return min(time.Duration(n)*time.Second, time.Duration(autobus.MaxRetryDelay))
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(0, t.Sub(now)), time.Duration(autobus.MaxRetryDelay))
	}
	return 0
}

// request makes a request of one event in binary mode, or of a batch.
func (e *endpoint) request(ctx context.Context, ds []*autobus.Delivery, keys [][]byte) (*http.Request, error) {
	body := ds[0].Data
	h := http.Header{}
	if e.push.Batch == nil {
		binary(h, &ds[0].Event)
		h.Set("Autobus-Attempt", strconv.Itoa(ds[0].Attempt))
	} else {
		h.Set("Content-Type", "application/cloudevents-batch+json; charset=utf-8")
		body = []byte{'['}
		for i, d := range ds {
			if i > 0 {
				body = append(body, ',')
			}
			body = autobus.AppendEvent(body, &d.Event)
		}
		body = append(body, ']')
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.push.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	h.Set("User-Agent", e.cfg.Agent)
	h.Set("Autobus-Subscription", e.name)
	sign(h, messageID(ds), time.Now(), body, keys)
	req.Header = h
	return req, nil
}

// binary writes the attributes as headers.
func binary(h http.Header, ev *autobus.Event) {
	set := func(name, value string) {
		if value != "" {
			h.Set("ce-"+name, autobus.EncodeHeader(value))
		}
	}
	h.Set("ce-specversion", "1.0")
	set("id", ev.ID)
	set("source", ev.Source)
	set("type", ev.Type)
	set("subject", ev.Subject)
	if !ev.Time.IsZero() {
		set("time", ev.Time.Format(time.RFC3339Nano))
	}
	set("dataschema", ev.DataSchema)
	for _, x := range ev.Extensions {
		set(x.Name, x.Value)
		trace := x.Name == autobus.ExtTraceParent || x.Name == autobus.ExtTraceState
		if trace && !strings.ContainsFunc(x.Value, func(c rune) bool { return c < ' ' || c > '~' }) {
			h.Set(x.Name, x.Value) // where tracing looks for it, which decodes nothing
		}
	}
	if ev.Data == nil {
		return
	}
	content := ev.ContentType
	if content == "" {
		content = "application/json"
	}
	h.Set("Content-Type", content)
}
