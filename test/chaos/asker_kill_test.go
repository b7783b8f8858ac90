// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/ipc"
)

// TestKillAskersGateway is the short form of T20.
func TestKillAskersGateway(t *testing.T) {
	killAsker(t, clusterStand(t, bustest.Cluster(t)), scale{rate: 100, kills: 1}, &row{})
}

// killAsker kills the gateway that holds the inbox of requests, in the middle of calls. Another one finds every answer
// by its URL; callers whose connection broke ask again there, under the same ids.
func killAsker(t *testing.T, s *stand, sc scale, r *row) {
	a := newAsking(t, s)
	g, other := s.start(t), s.start(t)
	lasts := time.Duration(0)
	if sc.full {
		lasts = 20 * time.Second
	}
	// Work takes a moment, so that at any time some requests are under way.
	a.serve(bustest.Prefix(), 1000, func(ctx context.Context, q *ipc.Request) (any, error) {
		select {
		case <-time.After(rand.N(time.Second)):
		case <-ctx.Done():
		}
		return echo(ctx, q)
	}, other)
	var broken, open, fetched, waiting int
	var late []time.Duration
	for kill := range sc.kills {
		loading, end := context.WithCancel(t.Context())
		loaded := make(chan struct{})
		go func() { defer close(loaded); a.load(loading, g, sc.rate) }()
		began, before := time.Now(), a.answered()
		bustest.Eventually(t, "answers, open requests and callers that wait", func(context.Context) bool {
			return time.Since(began) > lasts && a.answered() >= before+20 && a.open() >= 20 && a.waiting.Load() > 0
		})
		end()
		<-loaded
		waiting += int(a.waiting.Load())
		killed := time.Now()
		g.mustKill(t)
		a.calls.Wait()
		if len(a.broken) == 0 || len(a.places) == 0 {
			t.Fatalf("kill %d: %d calls broke, %d answers are to be fetched: it proves nothing", kill+1, len(a.broken),
				len(a.places))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*bustest.Patience)
		fetched += a.fetchAll(ctx, other, a.places)
		late = append(late, time.Since(killed))
		again := a.broken
		broken, open = broken+len(again), open+len(a.places)
		a.places, a.broken = nil, nil
		each(again, func(q question) {
			if !a.ask(ctx, other, q) {
				t.Errorf("request %s was asked again and the call broke", q.id)
			}
		})
		open += len(a.places)
		fetched += a.fetchAll(ctx, other, a.places)
		a.places = nil
		cancel()
		if kill+1 < sc.kills {
			g = s.start(t)
		}
	}
	rep := a.judge(t, s.broker)
	if a.got+fetched != int(a.next.Load()) || fetched != open {
		t.Errorf("of %d requests %d were answered to who asked; %d of %d were found later", a.next.Load(), a.got, fetched,
			open)
	}
	r.asked(t, sc, rep, "%d kills with %d callers waiting; %d calls broke and were asked again with success; "+
		"%d of %d answers found by their URL at the other gateway, the last one at most %s after the kill", sc.kills,
		waiting, broken, fetched, open, seconds(slices.Max(late)))
}
