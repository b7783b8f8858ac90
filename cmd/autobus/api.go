// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// maxAnswer bounds what is read of an answer that is not a stream.
const maxAnswer = 64 << 20

// api is a running bus as the commands see it: HTTP and nothing else.
type api struct {
	base  *url.URL
	token string
	http  *http.Client
}

func (a *app) api() (*api, error) {
	token, err := a.readToken()
	if err != nil {
		return nil, err
	}
	return newAPI(a.server, token)
}

func newAPI(server, token string) (*api, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, usage("--server is %q", server).WithHint("Give an address such as http://localhost:7070.")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	return &api{base: base, token: token, http: &http.Client{
		Transport: t,
		// A redirect would carry the token to a place nobody named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (a *app) readToken() (string, error) {
	file := a.tokenFile
	switch {
	case a.token != "":
		return a.token, nil
	case file == "" && os.Getenv("AUTOBUS_TOKEN") != "":
		return os.Getenv("AUTOBUS_TOKEN"), nil
	case file == "":
		file = os.Getenv("AUTOBUS_TOKEN_FILE")
	}
	if file == "" {
		return "", nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", usage("the token file cannot be read: %s", err).WithHint("Check --token-file.")
	}
	return strings.TrimSpace(string(raw)), nil
}

// close lets go of idle connections.
func (c *api) close() { c.http.CloseIdleConnections() }

type call struct {
	method  string
	path    string
	query   url.Values
	header  http.Header
	body    io.Reader
	changes bool // an answer that got lost leaves the outcome unknown
}

// do sends one request. An answer that is a problem comes back as an error; any other is the caller's to read and to
// close, whatever its status.
func (c *api) do(ctx context.Context, call call) (*http.Response, error) {
	u := c.base.JoinPath(call.path)
	u.RawQuery = call.query.Encode()
	req, err := http.NewRequestWithContext(ctx, call.method, u.String(), call.body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, call.header)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("User-Agent", "autobus-cli/"+readBuildInfo().Version)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.lost(ctx, call, err)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media == "application/problem+json" {
		defer resp.Body.Close()
		return nil, readProblem(resp)
	}
	if resp.StatusCode >= 300 && media != "application/json" {
		defer resp.Body.Close()
		return nil, autobus.NewError(autobus.ReasonServerUnreachable, "%s answered %s, which is not a bus's answer",
			c.base, resp.Status)
	}
	return resp, nil
}

// get reads a whole JSON document.
func (c *api) get(ctx context.Context, path string, timeout time.Duration) ([]byte, error) {
	doc, _, err := c.exchange(ctx, call{method: http.MethodGet, path: path}, timeout)
	return doc, err
}

// sendJSON sends a value and reads the whole answer.
func (c *api) sendJSON(ctx context.Context, method, path string, v any, timeout time.Duration) ([]byte, int, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, 0, err
	}
	return c.exchange(ctx, call{method: method, path: path, body: bytes.NewReader(body),
		header: http.Header{"Content-Type": {"application/json"}}}, timeout)
}

// exchange sends one request and reads the whole answer, a problem as an error.
func (c *api) exchange(ctx context.Context, request call, timeout time.Duration) (doc []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := c.do(ctx, request)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if doc, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return nil, 0, c.lost(ctx, request, err)
	}
	return doc, resp.StatusCode, nil
}

// lost turns a failed exchange into an error that says what is known of its outcome.
func (c *api) lost(ctx context.Context, call call, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Canceled
	}
	var op *net.OpError
	neverSent := errors.As(err, &op) && op.Op == "dial"
	if call.changes && !neverSent {
		return autobus.NewError(autobus.ReasonOutcomeUnknown, "the answer of %s got lost: %s", c.base, bare(err)).
			WithHint("The event may have been written. Send it again under the same --id.").WithCause(err)
	}
	return autobus.NewError(autobus.ReasonServerUnreachable, "%s does not answer: %s", c.base, bare(err)).WithCause(err)
}

// bare takes the method and URL off a client's error; the caller says them better.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// problem is an RFC 9457 document as the bus sends it.
type problem struct {
	Title      string          `json:"title"`
	Code       autobus.Code    `json:"code"`
	Reason     autobus.Reason  `json:"reason"`
	Detail     string          `json:"detail"`
	Hint       string          `json:"hint"`
	RetryAfter string          `json:"retry_after"`
	RequestID  string          `json:"request_id"`
	Errors     []autobus.Fault `json:"errors"`
}

func (p *problem) err() *autobus.Error {
	e := &autobus.Error{Code: p.Code, Reason: p.Reason, Detail: p.Detail, Hint: p.Hint, Faults: p.Errors}
	if e.Detail == "" {
		e.Detail = p.Title
	}
	e.RetryAfter, _ = time.ParseDuration(p.RetryAfter)
	return e
}

func (p *problem) exit() *exitError {
	e := p.err()
	return &exitError{code: edge.ExitCode(e), err: e, requestID: p.RequestID}
}

func readProblem(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var p problem
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(raw)).Decode(&p)
	}
	if err != nil || p.Reason == "" {
		return autobus.NewError(autobus.ReasonServerUnreachable, "the answer %s cannot be read", resp.Status)
	}
	if p.RequestID == "" {
		p.RequestID = resp.Header.Get("X-Request-Id")
	}
	return p.exit()
}
