// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/quota"
)

// Options say who may come in. The zero value lets nobody in but to the health and metrics paths.
type Options struct {
	// Authenticate tells who a token stands for, and the token's id for Revoked.
	Authenticate func(token string) (p autobus.Principal, tokenID string, ok bool)
	// Revoked gives a channel that is closed when the token is revoked; nil, or a nil channel = never.
	Revoked func(tokenID string) <-chan struct{}
	// Open is who everybody is, without a token. For dev on loopback only.
	Open *autobus.Principal
	// Hosts are the names under which the server may be called; browsers of other origins are refused. nil = any.
	Hosts []string
	// Basic are the paths below which a token may also come as the password of Basic authentication, whoever the user is:
	// many clients of schema registries know nothing else.
	Basic []string
	// Refusals are how errors are written below a path, where that is not by WriteProblem: what fails before a route is
	// reached, for clients that know one form of errors only.
	Refusals map[string]func(http.ResponseWriter, *http.Request, error)
	// Quotas bound how many requests of a principal may stay open, those that Occupy. nil = any number.
	Quotas *quota.Quotas

	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil = not measured
}

type handler struct {
	Options
	mux     *http.ServeMux
	metrics *metrics
	intake  intake
}

// Handler stands before every route of mux.
func Handler(mux *http.ServeMux, o Options) http.Handler {
	return &handler{Options: o, mux: mux, metrics: newMetrics(o.Metrics)}
}

func (h *handler) ServeHTTP(plain http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := takeRequestID(r.Header)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	s := &session{handler: h, ctx: ctx, cancel: cancel}
	defer s.end()
	ctx = context.WithValue(ctx, requestKey{}, request{id, h.Logger, s})
	r = r.WithContext(ctx)
	w := &response{ResponseWriter: plain}
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("X-Content-Type-Options", "nosniff")

	fallback, route := h.mux.Handler(r)
	defer h.finish(w, r, route, start)

	if err := h.checkOrigin(r); err != nil {
		h.refuse(w, r, err)
		return
	}
	if !public(r.URL.Path) {
		p, tokenID, err := h.authenticate(r)
		if err != nil {
			h.refuse(w, r, err)
			return
		}
		r = r.WithContext(autobus.WithPrincipal(ctx, p))
		s.watch(tokenID)
	}
	if route == "" {
		h.refuse(w, r, noRoute(w, r, fallback))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// public are the paths that probes and scrapers read without a token.
func public(path string) bool { return path == "/livez" || path == "/readyz" || path == "/metrics" }

// checkOrigin keeps web pages of other sites away from a server without auth: a foreign Origin is refused, and so is a
// foreign Host, behind which a page can hide by letting its own name resolve to this machine.
func (h *handler) checkOrigin(r *http.Request) error {
	if h.Hosts == nil {
		return nil
	}
	if !slices.ContainsFunc(h.Hosts, func(name string) bool { return strings.EqualFold(name, hostName(r.Host)) }) {
		return autobus.NewError(autobus.ReasonOriginForbidden, "the Host %q is not one of %s", r.Host,
			strings.Join(h.Hosts, ", "))
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return autobus.NewError(autobus.ReasonOriginForbidden, "the Origin %q is not this server", origin)
		}
	}
	return nil
}

func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// refuse writes an error in the form of the path.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	for path, write := range h.Refusals {
		if below(r.URL.Path, path) {
			write(w, r, err)
			return
		}
	}
	WriteProblem(w, r, err)
}

// below reports whether a path is another one or stands under it.
func below(path, under string) bool { return path == under || strings.HasPrefix(path, under+"/") }

// noRoute makes an error of the mux's own verdict.
func noRoute(w http.ResponseWriter, r *http.Request, fallback http.Handler) error {
	v := &verdict{header: http.Header{}}
	fallback.ServeHTTP(v, r)
	if allow := v.header.Get("Allow"); v.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		return autobus.NewError(autobus.ReasonMethodNotAllowed, "%s is not a method of %s", r.Method,
			r.URL.Path).WithHint("Use %s.", allow)
	}
	return autobus.NewError(autobus.ReasonPathUnknown, "there is nothing at %s", r.URL.Path)
}

// finish closes the account of a request, panicked or not.
func (h *handler) finish(w *response, r *http.Request, route string, start time.Time) {
	p := recover()
	if err, _ := p.(error); p != nil && !errors.Is(err, http.ErrAbortHandler) {
		Logger(r.Context()).Error("panic", slog.String("route", route), slog.String("request_id", RequestID(r.Context())),
			slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		if w.status == 0 {
			h.refuse(w, r, fmt.Errorf("panic: %v", p))
			p = nil
		}
	}
	if w.status == 0 {
		w.status = http.StatusOK // what net/http writes for a handler that wrote nothing
	}
	if r.Body != nil && r.Body != http.NoBody {
		// net/http now reads what is left of the body, to use the connection again; that too must have an end.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(grace))
	}
	took := time.Since(start)
	h.metrics.count(route, w.status, took)
	Logger(r.Context()).Debug("request", slog.String("route", route), slog.Int("status", w.status),
		slog.Duration("took", took), slog.String("request_id", RequestID(r.Context())))
	if p != nil {
		// The answer has begun: cut it off, so that nobody takes it for whole.
		panic(http.ErrAbortHandler)
	}
}
