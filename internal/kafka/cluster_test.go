// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
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
