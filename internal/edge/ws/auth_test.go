// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"errors"
	"testing"

	"context"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// guarded serves with three tokens: old and new of shop, other of somebody else.
func guarded(t *testing.T, bus autobus.Bus) (s *site, revoke map[string]chan struct{}) {
	t.Helper()
	revoke = map[string]chan struct{}{"old": make(chan struct{}), "new": make(chan struct{}), "other": make(chan struct{})}
	return serveOn(t, &edge.Server{}, bus, edge.Options{
		Authenticate: func(token string) (p autobus.Principal, id string, ok bool) {
			p.Name = "shop"
			if token == "other" {
				p.Name = "pay"
			}
			if token == "new" {
				p.Grants = []autobus.Grant{{Verb: autobus.VerbPublish, Pattern: "new.*"}}
			}
			return p, token, revoke[token] != nil
		},
		Revoked: func(id string) <-chan struct{} { return revoke[id] },
	}), revoke
}

func TestARevokedTokenEndsTheConnection(t *testing.T) {
	bus, calls := groups()
	s, revoke := guarded(t, bus)
	c := dial(t, s, "Authorization", "Bearer old")
	c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
	c.next()
	o := <-calls
	close(revoke["old"])
	code, before := c.closed()
	if code != websocket.StatusCode(4001) || len(before) != 1 || !before[0].fails(0, autobus.ReasonUnauthenticated) {
		t.Errorf("%d after %v", code, before)
	}
	<-o.ctx.Done()
	if errors.Is(context.Cause(o.ctx), autobus.ErrReaderDied) {
		t.Error("the reader counts as dead")
	}
}

func TestAuthRenewsTheToken(t *testing.T) {
	var grants []autobus.Grant
	bus, calls := groups()
	s, revoke := guarded(t, bus)
	c := dial(t, s, "Authorization", "Bearer old")
	c.send(`{"op":"auth","token":"new"}`)
	c.alive() // so it was read
	close(revoke["old"])
	c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
	if f := c.next(); !f.is("subscribed", 1) {
		t.Fatal(f)
	}
	p, _ := autobus.PrincipalOf((<-calls).ctx)
	if grants = p.Grants; p.Name != "shop" || len(grants) != 1 || grants[0].Pattern != "new.*" {
		t.Errorf("acts as %+v", p)
	}
	close(revoke["new"])
	if code, _ := c.closed(); code != 4001 {
		t.Errorf("the new token was revoked: %d", code)
	}
}

func TestABadTokenEndsTheConnection(t *testing.T) {
	s, _ := guarded(t, &fakeBus{})
	for _, token := range []string{"unknown", "other", ""} {
		c := dial(t, s, "Authorization", "Bearer old")
		c.send(`{"op":"auth","seq":5,"token":%q}`, token)
		code, before := c.closed()
		if code != 4001 || len(before) != 1 || !before[0].fails(5, autobus.ReasonUnauthenticated) {
			t.Errorf("token %q: %d after %v", token, code, before)
		}
	}
}

func TestAuthWhereEverybodyIsLetIn(t *testing.T) {
	c := dial(t, serve(t, &fakeBus{}))
	c.send(`{"op":"auth","token":"whatever"}`)
	c.alive()
}
