// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// sessions are the open streams that have a name, given by their readers. HTTP has no word for leaving: a reader that
// closes its connection looks like one that died, unless it ends its session first.
type sessions struct {
	mu   sync.Mutex
	open map[session]context.CancelCauseFunc
}

// session names a stream among those of a principal.
type session struct{ principal, subscription, name string }

// elsewhereTimeout is how long other instances may take to say whether a stream is theirs.
const elsewhereTimeout = 5 * time.Second

var sessionName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func sessionOf(r *http.Request, name string) session {
	p, _ := autobus.PrincipalOf(r.Context())
	return session{p.Name, r.PathValue("name"), name}
}

// add notes a stream by the name that its request carries, if any; end takes it out again.
func (s *sessions) add(r *http.Request, cancel context.CancelCauseFunc) (end func(), err *autobus.Error) {
	name := r.URL.Query().Get("session")
	if name == "" {
		return func() {}, nil
	}
	if !sessionName.MatchString(name) {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "session %q is no name", edge.Clip(name)).
			WithHint("Use 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', such as a UUID.")
	}
	key := sessionOf(r, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.open[key]; taken {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "session %s is open already", name).
			WithHint("Give each stream a name of its own.")
	}
	s.open[key] = cancel
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, key)
	}, nil
}

// leave serves DELETE /v1/subscriptions/{name}/sessions/{session}: the reader of that stream says goodbye. What it has
// not settled goes to others at once, and counts as nobody's failure.
func (e *Edge) leave(w http.ResponseWriter, r *http.Request) {
	key := sessionOf(r, r.PathValue("session"))
	e.sessions.mu.Lock()
	cancel, ok := e.sessions.open[key]
	e.sessions.mu.Unlock()
	if ok {
		cancel(nil)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := e.leaveElsewhere(r.Context(), key); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// leaveElsewhere asks the other instances: a balancer sends a goodbye anywhere. Only for those who may have a stream,
// and one hop only.
func (e *Edge) leaveElsewhere(ctx context.Context, key session) *autobus.Error {
	who, _ := autobus.PrincipalOf(ctx)
	if e.elsewhere == nil || who.Via != "" || !who.May(autobus.VerbSubscribe, key.subscription) ||
		!sessionName.MatchString(key.name) {
		return autobus.NewError(autobus.ReasonSessionUnknown, "no stream of %s has the session %q here",
			edge.Clip(key.subscription), edge.Clip(key.name))
	}
	ctx, cancel := context.WithTimeout(ctx, elsewhereTimeout)
	defer cancel()
	if err := e.elsewhere(ctx, key.subscription, key.name); err != nil {
		return autobus.AsError(err)
	}
	return nil
}
