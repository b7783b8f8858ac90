// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partition is how a partition stands: who leads it and who has all of it.
type Partition struct {
	TP
	Leader   int32 // -1 = nobody
	Replicas int
	InSync   int
}

// Partitions tells how each partition of every topic stands, Kafka's own topics included. Of a topic that cannot be
// described there is none.
func (l *Log) Partitions(ctx context.Context) ([]Partition, error) {
	resp, err := metadataRequest().RequestWith(ctx, l.client)
	if err != nil {
		return nil, unreachable(l.cfg, err)
	}
	var out []Partition
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		for _, p := range t.Partitions {
			out = append(out, Partition{TP{*t.Topic, p.Partition}, p.Leader, len(p.Replicas), len(p.ISR)})
		}
	}
	slices.SortFunc(out, func(a, b Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out, nil
}

// Reach proves that one broker answers at the address it gives to clients.
func (l *Log) Reach(ctx context.Context, broker int32) error {
	_, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, l.client.Broker(int(broker)))
	return err
}

// ErrNotTold says that this cluster does not answer a question, because of its version or of a right that is missing.
var ErrNotTold = errors.New("the cluster does not tell")

// Clock is how far the clock of the cluster's controller is ahead of this machine's, and how wrong that can be: the
// time that the answer took. Kafka tells the time of no other broker, unless a record is written for it. ErrNotTold:
// nor of the controller.
func (l *Log) Clock(ctx context.Context) (ahead, within time.Duration, err error) {
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = append(req.Topics, topic)
	// The first answer may have waited for a connection: of a few the quickest is the truest.
	for range 3 {
		asked := time.Now()
		resp, err := req.RequestWith(ctx, l.client)
		took := time.Since(asked)
		if err != nil {
			return 0, 0, fmt.Errorf("%w the time of its controller: %w", ErrNotTold, err)
		}
		told, err := leaderTime(resp)
		if err != nil {
			return 0, 0, err
		}
		// It reads its clock somewhere between the question and the answer.
		if off := told.Sub(asked.Add(took / 2)); within == 0 || took/2 < within {
			ahead, within = off, took/2+time.Millisecond
		}
	}
	return ahead, within, nil
}

// leaderTime finds the time at which the quorum's leader answered: it says of itself that it caught up just now.
func leaderTime(resp *kmsg.DescribeQuorumResponse) (time.Time, error) {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return time.Time{}, fmt.Errorf("%w the time of its controller: %w", ErrNotTold, err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			for _, v := range p.CurrentVoters {
				if v.ReplicaID == p.LeaderID && v.LastCaughtUpTimestamp > 0 {
					return time.UnixMilli(v.LastCaughtUpTimestamp), nil
				}
			}
		}
	}
	return time.Time{}, fmt.Errorf("%w the time of its controller", ErrNotTold)
}

// Disk is the volume of one of a broker's data folders, in bytes.
type Disk struct {
	Broker     int32
	Dir        string
	Free, Size int64 // -1 = not told
	Err        error // why the broker cannot use the folder
}

// Disks asks every broker about the volumes of its data folders. ErrNotTold: none of them says.
func (l *Log) Disks(ctx context.Context) ([]Disk, error) {
	described, err := l.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil && len(described) == 0 {
		return nil, fmt.Errorf("%w how full its disks are: %w", ErrNotTold, err)
	}
	var out []Disk
	for _, dirs := range described {
		for _, d := range dirs {
			out = append(out, Disk{Broker: d.Broker, Dir: d.Dir, Free: d.UsableBytes, Size: d.TotalBytes, Err: d.Err})
		}
	}
	slices.SortFunc(out, func(a, b Disk) int {
		return cmp.Or(cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.Dir, b.Dir))
	})
	return out, nil
}
