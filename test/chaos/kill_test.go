// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

// TestKillDev kills `autobus dev` in the middle of writing, again and again on the same data, and then looks whether
// anything acknowledged is missing.
func TestKillDev(t *testing.T) {
	const (
		kills   = 30 // that hit with appends in flight
		streams = 8
	)
	types := bustest.NewTypes(bustest.Prefix())
	bin, data, specs := build(t), t.TempDir(), writeSpecs(t, types)
	l := newLoad(types.Keyed, streams, func(int) string { return "" }, 0)

	hits, misses := 0, 0
	for hits < kills {
		p, b := dev(t, bin, data, specs, "0")
		before := l.acked()
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.run(t.Context(), t, b.API, "")
		}()
		// Not before the bus has acknowledged something in this life, so that there is something to lose.
		bustest.Eventually(t, "the first acknowledgements", func(context.Context) bool {
			return l.acked() >= before+100
		})
		<-time.After(rand.N(150 * time.Millisecond)) // a kill knows no good moment
		inFlight := l.sent()
		p.kill()
		<-done
		switch {
		case !p.killed():
			t.Fatalf("autobus dev did not die of the kill: %v\n%s", p.err, p.stderr)
		case inFlight > 0 && l.unanswered() > 0:
			hits++
		default:
			misses++
		}
		if misses > kills {
			t.Fatalf("only %d of %d kills hit with appends in flight", hits, hits+misses)
		}
	}
	_, b := dev(t, bin, data, specs, "0")
	r := l.judge(t, &bustest.Kafka{Brokers: []string{b.Kafka}})
	t.Logf("%d kills hit with appends in flight, %d did not", hits, misses)
	// Some unanswered events were written and some were not: so the kills hit in the middle of writing.
	if r.Landed == 0 || r.Unknown < kills {
		t.Errorf("the kills did not hit in the middle of writing: %+v", r)
	}
}
