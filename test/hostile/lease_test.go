// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// leases: forged and stale ones settle nothing, however many come.
func (a *arena) leases(ctx context.Context, t *testing.T) {
	r, err := a.ask(ctx, a.client, "mallory", http.MethodPut, "/v1/subscriptions/mallory", "application/json",
		strings.NewReader(`{"types":["`+typ+`"],"start":"earliest"}`))
	if err != nil || r.status >= 300 {
		t.Fatal(err, string(r.body))
	}
	r, err = a.ask(ctx, a.client, "mallory", http.MethodGet, "/v1/subscriptions/mallory/events?max=50&wait=20s", "", nil)
	leases := leasesIn(string(r.body))
	if err != nil || len(leases) == 0 {
		t.Fatal(err, string(r.body))
	}
	settle := func(subscription string, results []string) string {
		r, err := a.ask(ctx, a.client, "mallory", http.MethodPost, "/v1/subscriptions/"+subscription+"/acks",
			"application/json", strings.NewReader(`{"results":[`+strings.Join(results, ",")+`]}`))
		if err != nil {
			return err.Error()
		}
		return string(r.body)
	}
	outcome := func(lease string) string { return fmt.Sprintf(`{"lease":%q,"outcome":"ack"}`, lease) }

	var forged []string
	for i := range 10_000 {
		lease := []byte(leases[i%len(leases)])
		switch i % 4 {
		case 0:
			lease = lease[:rand.IntN(len(lease))]
		case 1:
			lease = append(lease, lease...)
		default:
			at := rand.IntN(len(lease))
			lease[at] ^= 1 << rand.IntN(5)
		}
		if _, real := genuine(leases, string(lease)); !real {
			forged = append(forged, outcome(string(lease)))
		}
	}
	only(t, many(20, func(int) string {
		body := settle("mallory", forged)
		return fmt.Sprintf("ok %d", strings.Count(body, `"status":"ok"`))
	}), "ok 0")
	if body := settle(a.good.name, []string{outcome(leases[0])}); strings.Contains(body, `"ok"`) ||
		!strings.Contains(body, `"unknown"`) {
		t.Errorf("a lease of another subscription: %s", body)
	}
	if body := settle("mallory", []string{outcome(leases[0])}); !strings.Contains(body, `"ok"`) {
		t.Errorf("the genuine lease, after all of it: %s", body)
	}
	only(t, many(20, func(int) string {
		body := settle("mallory", []string{outcome(leases[0])})
		return fmt.Sprintf("ok %d stale %d", strings.Count(body, `"status":"ok"`), strings.Count(body, `"status":"stale"`))
	}), "ok 0 stale 1")
	if r, err = a.ask(ctx, a.client, "mallory", http.MethodDelete, "/v1/subscriptions/mallory", "", nil); err != nil ||
		r.status != http.StatusNoContent {
		t.Error(err, r.status, string(r.body))
	}
}

// leasesIn finds the leases of an answer to a poll.
func leasesIn(body string) (leases []string) {
	for _, part := range strings.Split(body, `"lease":"`)[1:] {
		lease, _, _ := strings.Cut(part, `"`)
		leases = append(leases, lease)
	}
	return leases
}

func genuine(leases []string, lease string) (int, bool) {
	for i, l := range leases {
		if l == lease {
			return i, true
		}
	}
	return 0, false
}
