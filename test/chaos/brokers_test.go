// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

// TestKillLeader is the short form of T1.
func TestKillLeader(t *testing.T) {
	killLeader(t, clusterStand(t, bustest.Cluster(t)), short(), &row{})
}

// killLeader kills the broker that leads a partition while `autobus serve` publishes, starts it again, and then looks
// whether anything acknowledged is missing or anything refused is there.
func killLeader(t *testing.T, s *stand, sc scale, r *row) {
	x := newTrial(t, s, sc)
	leader := s.broker.Leader(t, s.typ, 0)
	x.begin()
	s.broker.KillBroker(t, leader)
	bustest.Eventually(t, "another leader", func(context.Context) bool {
		return s.broker.Leader(t, s.typ, 0) != leader
	})
	x.progress("load without the broker", 3)
	s.broker.RestartBroker(t, leader)
	s.broker.WaitISR(t, s.typ)
	x.progress("load after its return", 3)
	end := time.Now()
	a, rep := x.over()

	gap := a.gap(partitions, x.fault, end)
	if gap < time.Second || rep.Unknown == 0 {
		t.Errorf("the kill was not felt: longest gap %s, %d unknown outcomes", gap, rep.Unknown)
	}
	x.none("events are in the log twice", rep.Copies)
	x.within("the longest time without a write to a partition", gap, 15*time.Second)
	r.came(x, rep, "resumed after %s; %d unknown, all resolved", seconds(gap), rep.Unknown)
}

// rollBrokers restarts one broker after the other by SIGTERM.
func rollBrokers(t *testing.T, s *stand, sc scale, r *row) {
	x := newTrial(t, s, sc)
	x.begin()
	for id := int32(1); id <= 3; id++ {
		s.broker.StopBroker(t, id)
		x.progress("load without the broker", 2)
		s.broker.RestartBroker(t, id)
		s.broker.WaitISR(t, s.typ)
		x.progress("load after its return", 2)
	}
	end := time.Now()
	a, rep := x.over()

	gap, p99 := a.gap(partitions, x.fault, end), a.between(x.fault, end).written().percentile(99)
	x.none("events are in the log twice", rep.Copies)
	x.within("the longest time without a write to a partition", gap, 5*time.Second)
	x.within("the 99th percentile of writing", p99, 3*time.Second)
	r.came(x, rep, "longest gap %s, p99 %s", seconds(gap), p99.Round(time.Millisecond))
}

// pauseLeader stops a leader by SIGSTOP for 30 s: it keeps its connections, and does not know that it is succeeded.
func pauseLeader(t *testing.T, s *stand, sc scale, r *row) {
	x := newTrial(t, s, sc)
	leader := s.broker.Leader(t, s.typ, 0)
	x.begin()
	s.broker.PauseBroker(t, leader)
	successor := int32(-1)
	bustest.Eventually(t, "another leader", func(context.Context) bool {
		ps, ok := s.broker.Replicas(t, s.typ)
		if ok {
			successor = ps[0].Leader
		}
		return ok && successor != leader && successor >= 0
	})
	// Whoever asked the resumed one in its first moment would hear of the end that it remembers: that is Kafka's.
	x.l.unwatch()
	<-time.After(time.Until(x.fault.Add(30 * time.Second)))
	if !s.broker.BrokerPaused(t, leader) {
		t.Error("the leader did not stand still for 30 s: the run proves nothing")
	}
	resumed := time.Now()
	s.broker.ResumeBroker(t, leader)
	s.broker.WaitISR(t, s.typ)
	x.progress("load after its return", 3)
	end := time.Now()
	a, rep := x.over()

	gap := a.gap(partitions, x.fault, end)
	if gap < time.Second || rep.Unknown == 0 {
		t.Errorf("the pause was not felt: longest gap %s, %d unknown outcomes", gap, rep.Unknown)
	}
	x.within("the longest time without a write to a partition", gap, 25*time.Second)
	r.came(x, rep, "resumed after %s, before the leader did (at %s); %d copies", seconds(gap),
		seconds(resumed.Sub(x.fault)), rep.Copies)
}
