// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/autobus-io/autobus"
)

type requestKey struct{}

// RequestOf gives the request of the bus that an http.Handler serves, in the context of its *http.Request.
func RequestOf(ctx context.Context) (*Request, bool) {
	r, ok := ctx.Value(requestKey{}).(*Request)
	return r, ok
}

// Handler answers requests of the bus that carry HTTP by an http.Handler, so that a service moves with its routes,
// middleware and tests as they are:
//
//	err := ipc.Serve(ctx, bus, "pricing", ipc.Handler(mux))
//
// The response is sent when the handler returns; it cannot flush nor take the connection over. One that is larger than
// MaxHTTPBytes (ReasonEventTooLarge), or has trailers (ReasonHTTPUnsupported), is told to the caller as a failure. A
// handler that panics is logged and answered by 500. Statuses are answers: a 500 is not tried again by the bus.
func Handler(h http.Handler) HandleFunc {
	return func(ctx context.Context, r *Request) (any, error) {
		if !isHTTP(r.ContentType) {
			return nil, autobus.NewError(autobus.ReasonContentType, "the responder takes %s, not %q", MediaHTTP,
				r.ContentType)
		}
		req, err := DecodeRequest(r.Data)
		if err != nil {
			return nil, err
		}
		w := &recorder{header: http.Header{}}
		w.serve(h, req.WithContext(context.WithValue(ctx, requestKey{}, r)))
		if w.full {
			return nil, tooLarge(w.body.Len())
		}
		return w.response(req.Method)
	}
}

// recorder keeps a response until it is whole.
type recorder struct {
	header http.Header
	sent   http.Header // as it was when the status was written
	status int
	body   bytes.Buffer
	full   bool
}

func (w *recorder) serve(h http.Handler, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || err != http.ErrAbortHandler {
				slog.Default().ErrorContext(r.Context(), "an http.Handler panicked", "panic", fmt.Sprint(p),
					"stack", string(debug.Stack()))
			}
			*w = recorder{header: http.Header{}}
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		}
	}()
	h.ServeHTTP(w, r)
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. What is not the last response is passed over.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.full = w.full || w.body.Len()+len(p) > MaxHTTPBytes; w.full {
		return 0, tooLarge(w.body.Len() + len(p))
	}
	return w.body.Write(p)
}

func (w *recorder) response(method string) (any, error) {
	w.WriteHeader(http.StatusOK)
	if w.trailers() {
		return nil, autobus.NewError(autobus.ReasonHTTPUnsupported, "the response has trailers")
	}
	// As net/http does for whoever does not say.
	if _, said := w.sent["Content-Type"]; !said && w.sent.Get("Content-Encoding") == "" && w.body.Len() > 0 {
		w.sent.Set("Content-Type", http.DetectContentType(w.body.Bytes()))
	}
	if method == http.MethodHead && w.sent.Get("Content-Length") == "" && w.body.Len() > 0 {
		w.sent.Set("Content-Length", fmt.Sprint(w.body.Len()))
	}
	return EncodeResponse(method, w.status, w.sent, w.body.Bytes())
}

// trailers tells that the handler set some, in either way of net/http.
func (w *recorder) trailers() bool {
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return w.sent.Get("Trailer") != ""
}
