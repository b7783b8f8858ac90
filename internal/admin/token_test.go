// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

func grants(t *testing.T, texts ...string) []autobus.Grant {
	t.Helper()
	var out []autobus.Grant
	for _, s := range texts {
		g, err := ParseGrant(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

func TestTokenFromCreationToRevocation(t *testing.T) {
	_, l := broker(t)
	tokens := NewTokens(follow(t, l))
	elsewhere := follow(t, l)
	others := NewTokens(elsewhere)

	token, id, err := tokens.Create(t.Context(), "checkout", grants(t, "publish:orders.*"), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := elsewhere.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, ts := range map[string]*Tokens{"here": tokens, "elsewhere": others} {
		p, got, ok := ts.Authenticate(token)
		if !ok || got != id || p.Name != "checkout" || !p.May(autobus.VerbPublish, "orders.order.placed.v1") ||
			p.May(autobus.VerbSubscribe, "orders.order.placed.v1") {
			t.Fatalf("%s: Authenticate = %+v, %q, %v", name, p, got, ok)
		}
	}
	here, there := tokens.Revoked(id), others.Revoked(id)
	select {
	case <-here:
		t.Fatal("a good token counts as revoked")
	default:
	}
	// Revoked at the other instance: this one hears of it.
	if err := others.Revoke(t.Context(), id, "bob", "leaked"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-there:
	default:
		t.Fatal("the channel of the instance that revoked is open after Revoke returned")
	}
	select {
	case <-here:
	case <-time.After(10 * time.Second):
		t.Fatal("the channel of the other instance stays open")
	}
	for name, ts := range map[string]*Tokens{"here": tokens, "elsewhere": others} {
		if _, _, ok := ts.Authenticate(token); ok {
			t.Errorf("%s: a revoked token still counts", name)
		}
		if len(ts.List()) != 0 {
			t.Errorf("%s: List = %v, want none", name, ts.List())
		}
	}
	if err := tokens.Revoke(t.Context(), id, "bob", "again"); !has(err, autobus.ReasonTokenUnknown) {
		t.Errorf("revoke twice: %v", err)
	}
	// A restart is a replay, of removals too.
	if _, _, ok := NewTokens(follow(t, l)).Authenticate(token); ok {
		t.Error("after a replay the revoked token counts")
	}
}

// A token made elsewhere a moment ago can be revoked here, even where it has not yet been heard of.
func TestRevokeAfterAReadBarrier(t *testing.T) {
	_, l := broker(t)
	tokens := NewTokens(follow(t, l))
	c := follow(t, l)
	behind := make(chan struct{})
	c.Watch(control.KindToken, func(control.Record) { <-behind })
	others := NewTokens(c)
	_, id, err := tokens.Create(t.Context(), "checkout", grants(t, "publish:*"), "alice")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { close(behind) })
	if err := others.Revoke(t.Context(), id, "bob", "leaked"); err != nil {
		t.Error(err)
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	_, l := broker(t)
	tokens := NewTokens(follow(t, l))
	token, id, err := tokens.Create(t.Context(), "checkout", grants(t, "publish:*"), "alice")
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := newSecret()
	flipped := []byte(token)
	flipped[len(flipped)-1] ^= 1
	for name, bad := range map[string]string{
		"empty": "", "id": id, "foreign": foreign, "last character": string(flipped),
		"other secret": token[:len(tokenPrefix)+idChars+1] + foreign[len(tokenPrefix)+idChars+1:],
		"hash":         tokens.byID[id].token.Hash, "space behind": token + " ",
	} {
		if p, _, ok := tokens.Authenticate(bad); ok {
			t.Errorf("%s: Authenticate = %+v", name, p)
		}
	}
	select {
	case <-tokens.Revoked("nobody"):
	default:
		t.Error("the channel of a token that does not exist is open")
	}
}

func TestCreateRefuses(t *testing.T) {
	_, l := broker(t)
	c := follow(t, l)
	tokens := NewTokens(c)
	end := c.End()
	for name, create := range map[string]func() error{
		"principal": func() error {
			_, _, err := tokens.Create(t.Context(), "Check out", grants(t, "publish:*"), "alice")
			return err
		},
		"no grants": func() error {
			_, _, err := tokens.Create(t.Context(), "checkout", nil, "alice")
			return err
		},
		"verb": func() error {
			_, _, err := tokens.Create(t.Context(), "checkout", []autobus.Grant{{Verb: "write", Pattern: "*"}}, "alice")
			return err
		},
	} {
		if err := create(); !has(err, autobus.ReasonRequestInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c.End() != end {
		t.Errorf("refused tokens wrote %d records", c.End()-end)
	}
}

func TestSecretsAreStoredNowhere(t *testing.T) {
	_, l := broker(t)
	c := follow(t, l)
	token, _, err := NewTokens(c).Create(t.Context(), "checkout", grants(t, "publish:*"), "alice")
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Read(map[kafka.TP]int64{{Topic: control.Topic}: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	secret := token[len(tokenPrefix)+idChars+1:]
	seen := int64(0)
	for seen < c.End() {
		records, err := r.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			seen = rec.Offset + 1
			if bytes.Contains(rec.Value, []byte(secret)) || bytes.Contains(rec.Key, []byte(secret)) {
				t.Errorf("the control record at %d holds the secret", rec.Offset)
			}
		}
	}
	if list, err := json.Marshal(NewTokens(c).List()); err != nil || bytes.Contains(list, []byte(hashToken(token))) ||
		bytes.Contains(list, []byte(secret)) {
		t.Errorf("List shows what must stay inside: %s, %v", list, err)
	}
}

// Streams and revocations race all day; no bearer may be missed.
func TestConcurrentTokens(t *testing.T) {
	_, l := broker(t)
	tokens := NewTokens(follow(t, l))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			token, id, err := tokens.Create(ctx, fmt.Sprintf("service-%d", i), grants(t, "subscribe:*"), "alice")
			if err != nil {
				t.Error(err)
				return
			}
			streams := tokens.Revoked(id)
			for range 2 {
				wg.Go(func() {
					if err := tokens.Revoke(ctx, id, "bob", "done"); err != nil && !has(err, autobus.ReasonTokenUnknown) {
						t.Error(err)
					}
				})
			}
			select {
			case <-streams:
			case <-ctx.Done():
				t.Errorf("%s was not told", id)
			}
			if _, _, ok := tokens.Authenticate(token); ok {
				t.Errorf("%s still counts", id)
			}
		})
	}
	wg.Wait()
	if n := len(tokens.List()); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
}

// A newer build's token is refused here, shown, and can be revoked.
func TestUnreadableToken(t *testing.T) {
	_, l := broker(t)
	c := follow(t, l)
	tokens := NewTokens(c)
	token, id := newSecret()
	r, err := control.NewRecord(control.KindToken, id, control.None, control.Token{ID: id, Hash: hashToken(token)})
	if err != nil {
		t.Fatal(err)
	}
	r.Version = control.Version + 1
	if _, err := c.Change(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := tokens.Authenticate(token); ok {
		t.Error("a token that cannot be read counts")
	}
	list := tokens.List()
	if len(list) != 1 || !list[0].Unreadable || list[0].ID != id {
		t.Errorf("List = %+v", list)
	}
	if err := tokens.Revoke(t.Context(), id, "bob", "odd"); err != nil {
		t.Error(err)
	}
}

// Every build must go on reading what this one stores.
func TestStoredTokenIsStillRead(t *testing.T) {
	stored, err := os.ReadFile("testdata/token.json")
	if err != nil {
		t.Fatal(err)
	}
	_, l := broker(t)
	c := follow(t, l)
	tokens := NewTokens(c)
	const token = "ab_0011223344aa_" + "0000000000000000000000000000000000000000001"
	if _, err := c.Change(t.Context(), control.Record{
		Version: 1, Kind: control.KindToken, Name: "0011223344aa", Prev: control.None, Actor: "alice", Value: stored,
	}); err != nil {
		t.Fatal(err)
	}
	p, id, ok := tokens.Authenticate(token)
	if !ok || id != "0011223344aa" || p.Name != "checkout" || !slices.Equal(p.Grants, grants(t, "publish:orders.*")) {
		t.Errorf("Authenticate = %+v, %q, %v", p, id, ok)
	}
	// What is written today has the same form.
	now, err := json.Marshal(tokens.byID[id].token)
	if err != nil || string(now) != strings.TrimSpace(string(stored)) {
		t.Errorf("now written as %s, %v", now, err)
	}
}
