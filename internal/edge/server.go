// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
)

// Limits of every connection. A header over maxHeaderBytes is answered 431 by net/http; the body's limits are
// ReadBody's.
const (
	readHeaderTime  = 5 * time.Second
	idleTime        = 60 * time.Second
	maxHeaderBytes  = 32 << 10
	maxHTTP2Streams = 250
	defaultDrain    = 10 * time.Second
	cutTime         = 3 * time.Second // for handlers to return once their requests were cut off
)

// Server serves one listener and stops in stages.
type Server struct {
	Listener net.Listener
	TLS      *tls.Config // nil = plain HTTP/1.1
	Handler  http.Handler
	Logger   *slog.Logger
	DrainFor time.Duration // how long requests in flight may take once Run's context ends; 0 = 10 s
	Options  bool          // OPTIONS * is the handler's too; net/http answers it by itself
}

// Run serves until ctx ends. Then it stops listening, tells streams to end (StreamContext, OnDrain), lets requests
// finish for DrainFor, WebSockets among them, and cuts off what is left. It returns nil after that, or why serving was
// impossible.
func (s *Server) Run(ctx context.Context) error {
	logger := s.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	wait := s.DrainFor
	if wait == 0 {
		wait = defaultDrain
	}
	// Requests outlive ctx by the drain.
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	begun, beginDrain := context.WithCancelCause(base)
	defer beginDrain(nil)
	requests := &tally{handler: s.Handler}

	server := &http.Server{
		Handler:                      requests,
		TLSConfig:                    s.TLS,
		ReadHeaderTimeout:            readHeaderTime,
		IdleTimeout:                  idleTime,
		MaxHeaderBytes:               maxHeaderBytes,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxHTTP2Streams},
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: s.Options,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(base, drainKey{}, drain{begun: begun, cut: base, within: wait})
		},
	}
	served := make(chan error, 1)
	go func() {
		if s.TLS != nil {
			served <- server.ServeTLS(s.Listener, "", "")
			return
		}
		served <- server.Serve(s.Listener)
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.Listener.Addr(), err)
	case <-ctx.Done():
	}

	gone := autobus.NewError(autobus.ReasonShuttingDown, "this instance is going down")
	beginDrain(gone)
	late, cancel := context.WithTimeout(base, wait)
	defer cancel()
	err := server.Shutdown(late)
	if err == nil {
		err = requests.wait(late) // those of taken-over connections, of which Shutdown does not know
	}
	if err != nil {
		logger.Warn("requests cut off by the end of the drain", slog.Duration("drain", wait))
		cut(gone)
		if err := server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			logger.Warn("close", slog.Any("cause", err))
		}
		over, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutTime)
		defer cancel()
		if err := requests.wait(over); err != nil {
			logger.Warn("requests do not end", slog.Duration("waited", cutTime))
		}
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		logger.Warn("serve", slog.Any("cause", err))
	}
	return nil
}
