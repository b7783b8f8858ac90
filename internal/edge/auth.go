// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/autobus-io/autobus"
)

// session is the token that a request lives by.
type session struct {
	handler *handler
	ctx     context.Context //nolint:containedctx // the request's
	cancel  context.CancelCauseFunc

	mu    sync.Mutex
	leave context.CancelFunc // ends the watch over the token before
	ends  []func()           // what the request gives back when it is over
}

func (s *session) atEnd(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, f)
}

// end is called once the handler of the request has returned.
func (s *session) end() {
	s.mu.Lock()
	ends := s.ends
	s.ends = nil
	s.mu.Unlock()
	for _, f := range ends {
		f()
	}
}

// Renew makes a long request live by another token of the same principal, whose grants may differ; the one before may
// be revoked then. With an error nothing has changed. Where everybody is let in any token is fine.
func Renew(ctx context.Context, token string) (autobus.Principal, *autobus.Error) {
	r, _ := ctx.Value(requestKey{}).(request)
	s := r.session
	if s == nil {
		return autobus.Principal{}, autobus.NewError(autobus.ReasonUnauthenticated, "there is nobody to ask for the token")
	}
	if open := s.handler.Open; open != nil {
		return *open, nil
	}
	p, id, err := s.handler.check(token)
	if err != nil {
		return p, err
	}
	if before, _ := autobus.PrincipalOf(ctx); before.Name != p.Name {
		return p, autobus.NewError(autobus.ReasonUnauthenticated, "the token is not one of %s", before.Name).
			WithHint("Open another connection to act as somebody else.")
	}
	s.watch(id)
	return p, nil
}

// watch ends the request when the token is revoked; the one before does not count any more.
func (s *session) watch(tokenID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leave != nil {
		s.leave()
		s.leave = nil
	}
	if s.handler.Revoked == nil || tokenID == "" {
		return
	}
	var ctx context.Context
	ctx, s.leave = context.WithCancel(s.ctx)
	go cancelWhen(ctx, s.handler.Revoked(tokenID), s.cancel)
}

func cancelWhen(ctx context.Context, revoked <-chan struct{}, cancel context.CancelCauseFunc) {
	select {
	case <-revoked:
		cancel(autobus.NewError(autobus.ReasonUnauthenticated, "the token was revoked").
			WithHint("Ask the platform team for a new token."))
	case <-ctx.Done():
	}
}

// authenticate tells who sends a request, and the id of the token.
func (h *handler) authenticate(r *http.Request) (autobus.Principal, string, *autobus.Error) {
	if h.Open != nil {
		return *h.Open, "", nil
	}
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return autobus.Principal{}, "", autobus.NewError(autobus.ReasonUnauthenticated, "there is no Authorization header")
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	token = strings.TrimSpace(token)
	if _, password, ok := r.BasicAuth(); ok && h.basic(r.URL.Path) {
		scheme, token = "Bearer", password
	}
	if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return autobus.Principal{}, "", autobus.NewError(autobus.ReasonUnauthenticated,
			"the Authorization header is not one bearer token")
	}
	return h.check(token)
}

// basic reports whether a path takes Basic authentication.
func (h *handler) basic(path string) bool {
	return slices.ContainsFunc(h.Basic, func(under string) bool { return below(path, under) })
}

func (h *handler) check(token string) (autobus.Principal, string, *autobus.Error) {
	if h.Authenticate != nil {
		if p, id, ok := h.Authenticate(token); ok {
			return p, id, nil
		}
	}
	return autobus.Principal{}, "", autobus.NewError(autobus.ReasonUnauthenticated, "the token is unknown or revoked").
		WithHint("Ask the platform team for a new token.")
}
