// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// attempts bounds how often a change is tried again after somebody else changed the same record first.
const attempts = 5

// Tokens knows the static tokens of this cluster. It is kept up to date by the control log and does no I/O to
// authenticate.
type Tokens struct {
	log *control.Log

	mu   sync.RWMutex
	byID map[string]*entry
}

type entry struct {
	token     control.Token
	principal autobus.Principal
	offset    int64
	actor     string
	readable  bool
	revoked   chan struct{}
}

// TokenInfo describes a token without anything that could be used as one.
type TokenInfo struct {
	ID        string          `json:"id"`
	Principal string          `json:"principal"`
	Grants    []autobus.Grant `json:"grants"`
	Created   time.Time       `json:"created"`
	CreatedBy string          `json:"created_by"`
	// Unreadable says that a newer version wrote the token: this instance refuses it, revoking it works.
	Unreadable bool `json:"unreadable,omitempty"`
}

// NewTokens watches the tokens of a control log.
func NewTokens(log *control.Log) *Tokens {
	t := &Tokens{log: log, byID: map[string]*entry{}}
	log.Watch(control.KindToken, t.apply)
	return t
}

// apply takes one record of the control log. What is replaced counts as revoked, so that no stream goes on with
// grants of the past.
func (t *Tokens) apply(r control.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.byID[r.Name]; ok {
		if old.offset == r.Offset {
			return
		}
		close(old.revoked)
		delete(t.byID, r.Name)
	}
	if r.Removed() {
		return
	}
	token, err := control.Decode[control.Token](r)
	t.byID[r.Name] = &entry{
		token:     token,
		principal: autobus.Principal{Name: token.Principal, Grants: token.Grants},
		offset:    r.Offset,
		actor:     r.Actor,
		readable:  err == nil,
		revoked:   make(chan struct{}),
	}
}

// Create makes a token for a principal. The token itself is returned once and kept nowhere.
func (t *Tokens) Create(
	ctx context.Context, principal string, grants []autobus.Grant, actor string,
) (token, id string, err error) {
	if err := checkPrincipal(principal); err != nil {
		return "", "", err
	}
	if len(grants) == 0 {
		return "", "", autobus.NewError(autobus.ReasonRequestInvalid, "a token without grants allows nothing").
			WithHint("Give at least one grant, such as publish:orders.* or subscribe:*.")
	}
	for _, g := range grants {
		if err := checkGrant(g); err != nil {
			return "", "", err
		}
	}
	token, id = newSecret()
	r, err := control.NewRecord(control.KindToken, id, control.None, control.Token{
		ID: id, Principal: principal, Hash: hashToken(token), Grants: grants, Created: time.Now().UTC().Truncate(time.Second),
	})
	if err != nil {
		return "", "", err
	}
	r.Actor, r.Reason = actor, "token for "+principal
	if _, err := t.log.Change(ctx, r); err != nil {
		return "", "", err
	}
	return token, id, nil
}

// List describes all tokens, sorted by principal and age.
func (t *Tokens) List() []TokenInfo {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := make([]TokenInfo, 0, len(t.byID))
	for id, e := range t.byID {
		list = append(list, TokenInfo{
			ID: id, Principal: e.principal.Name, Grants: e.principal.Grants, Created: e.token.Created, CreatedBy: e.actor,
			Unreadable: !e.readable,
		})
	}
	slices.SortFunc(list, func(a, b TokenInfo) int {
		return cmp.Or(cmp.Compare(a.Principal, b.Principal), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Revoke makes a token worthless, everywhere. What runs with it on this instance has been told when Revoke returns.
func (t *Tokens) Revoke(ctx context.Context, id, actor, reason string) error {
	var err error
	for range attempts {
		// The token may have been made at another instance a moment ago.
		if err = t.log.Barrier(ctx); err != nil {
			return err
		}
		t.mu.RLock()
		e, ok := t.byID[id]
		t.mu.RUnlock()
		if !ok {
			return autobus.NewError(autobus.ReasonTokenUnknown, "there is no token %q", id)
		}
		_, err = t.log.Change(ctx, control.Record{
			Version: control.Version, Kind: control.KindToken, Name: id, Prev: e.offset, Actor: actor, Reason: reason,
		})
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return err
		}
	}
	return err
}

// Authenticate returns who a token makes its bearer, and the token's id.
func (t *Tokens) Authenticate(token string) (p autobus.Principal, id string, ok bool) {
	id, ok = tokenID(token)
	if !ok {
		return autobus.Principal{}, "", false
	}
	t.mu.RLock()
	e, ok := t.byID[id]
	t.mu.RUnlock()
	if !ok || !e.readable || !sameHash(e.token.Hash, hashToken(token)) {
		return autobus.Principal{}, "", false
	}
	return e.principal, id, true
}

// Revoked is closed when the token no longer counts; at once for a token that does not exist.
func (t *Tokens) Revoked(id string) <-chan struct{} {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e, ok := t.byID[id]; ok {
		return e.revoked
	}
	gone := make(chan struct{})
	close(gone)
	return gone
}
