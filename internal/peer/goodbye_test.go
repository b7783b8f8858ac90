// SPDX-License-Identifier: Apache-2.0

package peer_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/peer"
)

// streams is an instance that answers goodbyes with a status, and counts them.
func streams(t *testing.T, keys peer.Keys, status int) (address string, asked chan string) {
	t.Helper()
	asked = make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := keys.Principal(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if !ok || p.Via != "here" || r.Method != http.MethodDelete {
			t.Errorf("%s by %+v", r.Method, p)
		}
		asked <- p.Name + " " + r.URL.Path
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

func TestAGoodbyeFindsItsStream(t *testing.T) {
	keys := peer.NewKeys("sixteen bytes or more")
	pool := peer.New(peer.Config{Instance: "here", Keys: keys})
	defer pool.Close()
	has, asked := streams(t, keys, http.StatusNoContent)
	lacks, _ := streams(t, keys, http.StatusNotFound)
	odd, _ := streams(t, keys, http.StatusUnauthorized)
	const dead = "127.0.0.1:1"
	ctx := autobus.WithPrincipal(t.Context(), shop)
	for _, c := range []struct {
		addresses []string
		want      autobus.Reason
	}{
		{[]string{lacks, has, lacks}, ""},
		{[]string{dead, odd, has}, ""}, // who has it has the word
		{[]string{lacks, lacks}, autobus.ReasonSessionUnknown},
		{nil, autobus.ReasonSessionUnknown},
		{[]string{lacks, dead}, autobus.ReasonPeerUnreachable}, // it may be there
		{[]string{odd, lacks}, autobus.ReasonPeerUnreachable},
	} {
		err := pool.Leave(ctx, c.addresses, "bob-kz", "w-1")
		if got, _ := errors.AsType[*autobus.Error](err); c.want == "" && err != nil || c.want != "" &&
			(got == nil || got.Reason != c.want) {
			t.Errorf("%v: %v, want %q", c.addresses, err, c.want)
		}
	}
	if got := <-asked; got != "shop /v1/subscriptions/bob-kz/sessions/w-1" {
		t.Errorf("asked %s", got)
	}
	if err := pool.Leave(context.Background(), []string{has}, "bob-kz", "w-1"); !errors.Is(err,
		&autobus.Error{Reason: autobus.ReasonUnauthenticated}) {
		t.Errorf("nobody: %v", err)
	}
}
