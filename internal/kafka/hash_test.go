// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"testing"

	"github.com/autobus-io/autobus/internal/kafka"
)

// The vectors of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
func TestMurmur2IsKafkas(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string":                       -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(kafka.Murmur2Hash([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, Kafka says %d", key, got, want)
		}
	}
}

// sarama's hash partitioner: int32(fnv1a32(key)) % n, a negative result negated.
func TestSaramaPartitions(t *testing.T) {
	for _, c := range []struct {
		key  string
		n    int32
		want int32
	}{{"", 7, 2}, {"a", 10, 6}, {"foobar", 7, 4}} {
		if got := kafka.PartitionOf(kafka.Sarama, []byte(c.key), c.n); got != c.want {
			t.Errorf("partition of %q among %d = %d, want %d", c.key, c.n, got, c.want)
		}
	}
}

func TestPartitionIsInRange(t *testing.T) {
	for _, hash := range []string{kafka.Murmur2, kafka.Sarama} {
		seen := map[int32]bool{}
		for i := range 1000 {
			p := kafka.PartitionOf(hash, []byte{byte(i), byte(i >> 8)}, 12)
			if p < 0 || p > 11 {
				t.Fatalf("%s gives partition %d of 12", hash, p)
			}
			seen[p] = true
		}
		if len(seen) != 12 {
			t.Errorf("%s uses %d of 12 partitions", hash, len(seen))
		}
	}
}
