// SPDX-License-Identifier: Apache-2.0

package kafka

// Names of the partitioning hashes that a route can pin.
const (
	Murmur2 = "murmur2" // Kafka's own clients
	Sarama  = "sarama"  // FNV-1a as the sarama client's hash partitioner uses it
)

// PartitionOf gives the partition of a key among n, as producers with the named hash do.
func PartitionOf(hash string, key []byte, n int32) int32 {
	if hash == Sarama {
		// sarama: int32(fnv1a) % n, negative results negated (its HashPartitioner).
		p := int32(fnv1a(key)) % n
		if p < 0 {
			p = -p
		}
		return p
	}
	// Kafka: Utils.toPositive(Utils.murmur2(key)) % n (BuiltInPartitioner).
	return int32(murmur2(key)&0x7fffffff) % n
}

// murmur2 is the variant of org.apache.kafka.common.utils.Utils.murmur2: seed 0x9747b28c, little endian.
func murmur2(b []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := 0x9747b28c ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

func fnv1a(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h ^= uint32(c)
		h *= 16777619
	}
	return h
}
