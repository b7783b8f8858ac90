// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kadm"
)

// DeleteRecords moves a partition's start, as retention does.
func DeleteRecords(ctx context.Context, l *Log, tp TP, before int64) error {
	var o kadm.Offsets
	o.AddOffset(tp.Topic, tp.Partition, before, -1)
	_, err := l.admin.DeleteRecords(ctx, o)
	return err
}

// Murmur2Hash is the bare hash, for Kafka's own test vectors.
func Murmur2Hash(b []byte) uint32 { return murmur2(b) }

// Setting is the value of one option of the producer's client.
func (l *Log) Setting(option any) any { return l.client.OptValue(option) }

// DeleteTopic does what somebody beside the bus may do.
func DeleteTopic(ctx context.Context, l *Log, name string) error {
	_, err := l.admin.DeleteTopic(ctx, name)
	return err
}
