// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
)

// Commit is a committed position. Offset -1 = none.
type Commit struct {
	Offset   int64
	Metadata string   // of more than 4,096 bytes the brokers refuse the commit
	TopicID  [16]byte // of the topic as it is now; told by Start alone, and only where the brokers know ids
}

// Group says how to join a consumer group. Its functions are called one at a time, none before the first Poll. They
// must not call Leave: it waits for them.
type Group struct {
	ID     string
	Topics []string // those that do not exist yet are read once they do

	// Start is asked where reading begins, once per assignment of a partition; commits has what the brokers know, for
	// just the partitions that are new. An offset for each of them is the answer. The group goes on while Start works,
	// but it has to end with ctx. After an error it is asked again, with commits read anew.
	Start func(ctx context.Context, commits map[TP]Commit) (map[TP]int64, error)

	// Revoked is told of partitions that are about to go, to another member or because of Leave. What it commits is
	// what the next owner's Start gets. It may take seconds, until ctx ends.
	Revoked func(ctx context.Context, tps []TP)

	// Lost is told of partitions that were taken away: somebody else may have them already, nothing can be committed.
	Lost func(tps []TP)
}

// ErrFenced says that this member no longer holds what it acts on: somebody else may.
var ErrFenced = errors.New("the partition is not, or no longer, this member's")

// ErrLeft is what a member answers after Leave.
var ErrLeft = errors.New("the member left its group")

// Times of memberships and of reading. They are set by tests in fake time, where each heartbeat of a day is played.
type Times struct {
	Session, Heartbeat, Rebalance time.Duration

	Topics time.Duration // how often to look for new partitions of a topic, which nobody announces
	Fetch  time.Duration // how long the brokers hold back an answer when there is nothing to read
}

// defaultTimes are shorter than Kafka's own (45 s, 3 s, 60 s, 5 min), which make every crash a stall of 45 s. Members
// hear of a rebalance by their next heartbeat, and a cooperative handover takes two: they are what a restart costs.
func defaultTimes() Times {
	return Times{10 * time.Second, time.Second, 20 * time.Second, 10 * time.Second, time.Second}
}

// Join makes a member of the group, with a client of its own. It returns at once; partitions come when the group has
// settled, and the brokers are tried until Leave.
func (l *Log) Join(ctx context.Context, g Group) (*Member, error) {
	return l.join(ctx, g, l.cfg.times())
}

func (l *Log) join(ctx context.Context, g Group, t Times) (*Member, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	opts, err := connectOptions(l.cfg)
	if err != nil {
		return nil, err
	}
	m := newMember(l, g, t)
	opts = append(opts, fetchOptions(t)...)
	opts = append(opts, m.options()...)
	if m.client, err = kgo.NewClient(opts...); err != nil {
		m.kill()
		return nil, autobus.NewError(autobus.ReasonConfigInvalid, "kafka: %v", err).WithCause(err)
	}
	return m, nil
}

// options make the client a member. BlockRebalanceOnPoll stays off: with it a slow caller would stall the whole group.
func (m *Member) options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.WithContext(m.life),
		kgo.ConsumerGroup(m.group.ID),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(m.times.Session),
		kgo.HeartbeatInterval(m.times.Heartbeat),
		kgo.RebalanceTimeout(m.times.Rebalance),
		kgo.MetadataMaxAge(m.times.Topics),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(m.onAssigned),
		kgo.OnPartitionsRevoked(m.onRevoked),
		kgo.OnPartitionsLost(m.onLost), // else lost partitions would be told to onRevoked
		kgo.AdjustFetchOffsetsFn(m.adjust),
		kgo.KeepControlRecords(), // so that a position can stand behind a marker
	}
	if len(m.group.Topics) > 0 {
		opts = append(opts, kgo.ConsumeTopics(m.group.Topics...))
	}
	return opts
}
