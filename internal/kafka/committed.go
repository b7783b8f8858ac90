// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Committed returns the commits of a group, whether it has members or not. A group that does not exist has none.
func (l *Log) Committed(ctx context.Context, group string) (map[TP]Commit, error) {
	var all map[TP]stored
	err := untilCoordinated(ctx, func() (err error) {
		all, err = fetchCommits(ctx, l.client, group, nil)
		return err
	})
	if errors.Is(err, kerr.GroupIDNotFound) {
		return map[TP]Commit{}, nil
	}
	if err != nil {
		return nil, unreachable(l.cfg, err)
	}
	out := make(map[TP]Commit, len(all))
	for tp, s := range all {
		if s.Offset >= 0 {
			out[tp] = s.Commit
		}
	}
	return out, nil
}

// stored is a commit as the brokers have it, with the id of the topic that it counts in.
type stored struct {
	Commit
	topic [16]byte
}

// fetchCommits asks for the commits of partitions, or for all of the group when none is named. Partitions of topics
// that are gone are missing from the answer.
func fetchCommits(ctx context.Context, client *kgo.Client, group string, tps []TP) (map[TP]stored, error) {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	for topic, partitions := range byTopic(tps...) {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = topic, partitions
		g.Topics = append(g.Topics, t)
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("commits of group %s: %w", group, err)
	}
	out := map[TP]stored{}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, fmt.Errorf("commits of group %s: %w", group, err)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				err := kerr.ErrorForCode(p.ErrorCode)
				if Gone(err) {
					continue
				}
				if err != nil {
					return nil, fmt.Errorf("commit of partition %d of %s: %w", p.Partition, t.Topic, err)
				}
				s := stored{Commit{Offset: p.Offset}, t.TopicID}
				if p.Metadata != nil {
					s.Metadata = *p.Metadata
				}
				out[TP{t.Topic, p.Partition}] = s
			}
		}
	}
	return out, nil
}
