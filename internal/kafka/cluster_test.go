// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// The embedded broker gives a topic made again its old id; only real brokers show the trap.
func TestRenewHelpsATopicThatWasMadeAgain(t *testing.T) {
	l := bustest.Cluster(t).Open(t)
	name := bustest.Prefix()
	create(t, l, name, 1, nil)
	write(t, l, kafka.TP{Topic: name}, "before")
	before, err := l.Topics(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := kafka.DeleteTopic(t.Context(), l, name); err != nil {
		t.Fatal(err)
	}
	create(t, l, name, 1, nil)
	after, err := l.Topics(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if before[name].ID == after[name].ID {
		t.Fatal("the topic kept its id; the test proves nothing")
	}
	if !l.Renew(name) {
		t.Fatal("nothing is in flight")
	}
	if got := write(t, l, kafka.TP{Topic: name}, "after"); got[0].err != nil || got[0].offset != 0 {
		t.Errorf("append to the new topic: %+v", got[0])
	}
}

// A broker's end makes its partitions leaderless for 9 s. Questions about offsets wait for that long, and so does an
// instance that starts just then; nobody waits for the dead one to know a topic.
func TestABrokersEndIsWaitedOver(t *testing.T) {
	k := bustest.Cluster(t)
	l := k.Open(t)
	name := bustest.Prefix()
	if _, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: name, Partitions: 1, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	k.WaitISR(t, name)
	tp := kafka.TP{Topic: name}
	write(t, l, tp, "before")
	leader := k.Leader(t, name, 0)
	k.KillBroker(t, leader)
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	if _, err := l.CreateInternal(ctx, name, 1, nil); err != nil {
		t.Errorf("make sure that there is the topic: %v", err)
	}
	if ends, err := l.Ends(ctx, name); err != nil || ends[tp] != 1 {
		t.Errorf("the end just after the leader's: %v, %v", ends, err)
	}
	if bounds, err := l.Bounds(ctx, name); err != nil || bounds[tp].End != 1 {
		t.Errorf("the bounds: %v, %v", bounds, err)
	}
	k.RestartBroker(t, leader)
	k.WaitISR(t, name)
}
