// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus/internal/bustest"
)

// killController kills the node that is the active controller and leads partitions as well.
func killController(t *testing.T, s *stand, sc scale, r *row) {
	x := newTrial(t, s, sc)
	node := controller(t, s.broker)
	led := 0
	if ps, ok := s.broker.Replicas(t, s.typ); ok {
		for _, p := range ps {
			if p.Leader == node {
				led++
			}
		}
	}
	if led == 0 {
		t.Fatalf("node %d is the controller and leads nothing: the run proves nothing", node)
	}
	x.begin()
	s.broker.KillBroker(t, node)
	bustest.Eventually(t, "other leaders", func(context.Context) bool {
		ps, ok := s.broker.Replicas(t, s.typ)
		for _, p := range ps {
			ok = ok && p.Leader >= 0 && p.Leader != node
		}
		return ok
	})
	x.progress("load without the node", 3)
	successor := controller(t, s.broker)
	s.broker.RestartBroker(t, node)
	s.broker.WaitISR(t, s.typ)
	x.progress("load after its return", 3)
	end := time.Now()
	a, rep := x.over()

	gap := a.gap(partitions, x.fault, end)
	if gap < time.Second || successor == node {
		t.Errorf("the kill was not felt: longest gap %s, the controller is %d and was %d", gap, successor, node)
	}
	x.none("events are in the log twice", rep.Copies)
	x.within("the longest time without a write to a partition", gap, 20*time.Second)
	r.came(x, rep, "resumed after %s (%d of %d partitions were led by it)", seconds(gap), led, partitions)
}

// controller asks which node leads the quorum of controllers.
func controller(t *testing.T, k *bustest.Kafka) int32 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.DialTimeout(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	leader := int32(-1)
	bustest.Eventually(t, "an active controller", func(ctx context.Context) bool {
		req := kmsg.NewPtrDescribeQuorumRequest()
		topic, partition := kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewDescribeQuorumRequestTopicPartition()
		topic.Topic, topic.Partitions = "__cluster_metadata", append(topic.Partitions, partition)
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, client)
		if err == nil && (len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1) {
			err = errors.New("the answer is not about the quorum")
		}
		if err != nil {
			t.Logf("the quorum: %v", err)
			return false
		}
		leader = resp.Topics[0].Partitions[0].LeaderID
		return leader > 0
	})
	return leader
}

// cutFollower cuts the link between the two nodes that are not the active controller. What one of them leads loses the
// other as a replica in sync only after replica.lag.time.max.ms, 10 s here; up to then nothing is acknowledged.
func cutFollower(t *testing.T, s *stand, sc scale, r *row) {
	x := newTrial(t, s, sc)
	middle := controller(t, s.broker)
	cut := slices.DeleteFunc([]int32{1, 2, 3}, func(n int32) bool { return n == middle })
	a, b := int(cut[0]), int(cut[1])
	x.begin()
	s.net.drop(a, b)
	s.net.drop(b, a)
	x.t.Cleanup(func() {
		if t.Failed() {
			s.net.tryHeal(a, b)
		}
	})
	bustest.Eventually(t, "both to be without the other", func(context.Context) bool {
		ps, ok := s.broker.Replicas(t, s.typ)
		for _, p := range ps {
			ok = ok && (p.Leader == middle || len(p.ISR) == 2 && slices.Contains(p.ISR, middle))
		}
		return ok
	})
	shrunk := time.Since(x.fault)
	<-time.After(time.Until(x.fault.Add(30 * time.Second)))
	same := controller(t, s.broker) == middle && s.broker.BrokerRuns(t, cut[0]) && s.broker.BrokerRuns(t, cut[1])
	s.net.heal(a, b)
	s.net.heal(b, a)
	s.broker.WaitISR(t, s.typ)
	x.progress("load after the cut", 3)
	end := time.Now()
	answers, rep := x.over()

	gap := answers.gap(partitions, x.fault, end)
	if !same || gap < time.Second {
		t.Errorf("the cut was not felt as it should: same controller and nodes %t, longest gap %s", same, gap)
	}
	x.within("the longest time without a write to a partition", gap, 16*time.Second)
	r.came(x, rep, "longest gap %s, the replica was out of sync after %s; %d copies", seconds(gap), seconds(shrunk),
		rep.Copies)
}
