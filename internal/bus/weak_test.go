// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"testing"

	"github.com/autobus-io/autobus/internal/kafka"
)

func TestWeakTopics(t *testing.T) {
	for _, c := range []struct {
		replicas        int
		minISR, unclean string
		want            bool
	}{
		{3, "2", "false", false}, {5, "3", "false", false}, {3, "2", "", false},
		{2, "2", "false", true}, {3, "1", "false", true}, {3, "", "false", true}, {3, "2", "true", true},
	} {
		topic := kafka.Topic{Replicas: c.replicas, Configs: map[string]string{
			"min.insync.replicas": c.minISR, "unclean.leader.election.enable": c.unclean}}
		if got := weak(topic); got != c.want {
			t.Errorf("%d replicas, min ISR %q, unclean %q: weak %t", c.replicas, c.minISR, c.unclean, got)
		}
	}
}
