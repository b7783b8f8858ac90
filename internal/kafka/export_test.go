// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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

// JoinQuickly joins with a quick heartbeat and a short rebalance. Sessions of less than 6 s are refused by the brokers.
func JoinQuickly(ctx context.Context, l *Log, g Group) (*Member, error) {
	return l.join(ctx, g, Times{Session: 6 * time.Second, Heartbeat: 100 * time.Millisecond,
		Rebalance: 2 * time.Second, Topics: 300 * time.Millisecond, Fetch: time.Second})
}

// Setting is the value of one option of the member's client.
func (m *Member) Setting(option any) any { return m.client.OptValue(option) }

// Take tells how much is kept of one record that the client hands out.
func Take(m *Member, tp TP, offset int64) int {
	records, _ := m.take(kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: tp.Topic, Partitions: []kgo.FetchPartition{{
		Partition: tp.Partition, Records: []*kgo.Record{{Topic: tp.Topic, Partition: tp.Partition, Offset: offset}}}}}}}})
	return len(records)
}

// Expel removes a member as the brokers do when its session expires.
func Expel(ctx context.Context, l *Log, group, member string) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = group, member
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = member
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(ctx, l.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err == nil {
		err = kerr.ErrorForCode(resp.Members[0].ErrorCode)
	}
	return err
}

// AddPartitions raises a topic's number of partitions.
func AddPartitions(ctx context.Context, l *Log, topic string, n int) error {
	_, err := l.admin.CreatePartitions(ctx, n, topic)
	return err
}
