// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus/internal/kafka"
)

// One topic that the brokers do not describe, for want of a right or because its name is none, hides no other.
func TestATopicThatCannotBeDescribedHidesNoOther(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"metadata": {Keys: []kmsg.Key{kmsg.Metadata}, Topic: "bad", Err: kerr.TopicAuthorizationFailed, Count: -1},
		"settings": {Keys: []kmsg.Key{kmsg.DescribeConfigs}, Resource: "bad", Err: kerr.TopicAuthorizationFailed, Count: -1},
	} {
		t.Run(name, func(t *testing.T) {
			c, l := faulty(t, 1, nil)
			for _, topic := range []string{"good", "bad"} {
				create(t, l, topic, 1, map[string]string{"min.insync.replicas": "1"})
			}
			defer c.Fault(fault).Remove()
			topics, err := l.Topics(t.Context(), "good", "bad")
			if err != nil {
				t.Fatal(err)
			}
			if good := topics["good"]; good.Err != nil || good.Partitions != 1 || good.MinISR() != 1 {
				t.Errorf("the good one: %+v", good)
			}
			if bad := topics["bad"]; !errors.Is(bad.Err, kerr.TopicAuthorizationFailed) {
				t.Errorf("the bad one: %+v", bad)
			}
			if name == "metadata" {
				ends, err := l.Ends(t.Context(), "good", "bad")
				if _, ok := ends[kafka.TP{Topic: "good"}]; err != nil || !ok || len(ends) != 1 {
					t.Errorf("ends %v %v", ends, err)
				}
			}
		})
	}
}
