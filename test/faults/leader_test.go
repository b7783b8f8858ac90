// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

// TestKillLeader kills the broker that leads a partition while `autobus serve` publishes, starts it again, and then
// looks whether anything acknowledged is missing or anything refused is there. Half of the streams give up on an
// answer long before the brokers have noticed the death, so they have to live with unknown outcomes.
func TestKillLeader(t *testing.T) {
	const streams = 8
	k := bustest.Cluster(t)
	types := bustest.NewTypes(bustest.Prefix())
	bin := build(t)
	config, token := prepare(t, bin, k, writeSpecs(t, types))
	p, url := serve(t, bin, config, "faults")
	k.WaitISR(t, types.Keyed)

	l := newLoad(types.Keyed, streams, func(i int) string {
		if i%2 == 0 {
			return "?timeout=3s"
		}
		return "?timeout=30s"
	}, 4*time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx, t, url, token)
	}()
	progress := func(what string, n int64) {
		t.Helper()
		from := l.acked()
		bustest.Eventually(t, what, func(context.Context) bool { return l.acked() >= from+n })
	}
	progress("load before the kill", 1000)
	if l.sent() == 0 {
		t.Log("nothing is in flight at this moment; the stall below shows that the kill hit all the same")
	}
	leader := k.Leader(t, types.Keyed, 0)
	k.KillBroker(t, leader)
	bustest.Eventually(t, "another leader", func(context.Context) bool {
		return k.Leader(t, types.Keyed, 0) != leader
	})
	progress("load without the broker", 1000)
	k.RestartBroker(t, leader)
	k.WaitISR(t, types.Keyed)
	progress("load after its return", 1000)
	stop()
	<-done

	longest := time.Duration(0)
	for _, s := range l.streams {
		longest = max(longest, s.stalls.longest)
	}
	t.Logf("broker %d was killed; the longest time without an answer was %s", leader, longest)
	r := l.judge(t, k)
	if longest < time.Second || r.Unknown == 0 {
		t.Errorf("the kill was not felt: longest stall %s, %d unknown outcomes", longest, r.Unknown)
	}
	select {
	case <-p.ended:
		t.Errorf("autobus serve died: %v\n%s", p.err, p.stderr)
	default:
	}
}
