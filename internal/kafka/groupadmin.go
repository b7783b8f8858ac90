// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrGroupInUse says that a group has members, so that nobody else may change its commits.
var ErrGroupInUse = errors.New("the group has members")

// DeleteGroup forgets the commits of a group without members, ErrGroupInUse otherwise. One that does not exist is fine.
func (l *Log) DeleteGroup(ctx context.Context, group string) error {
	err := untilCoordinated(ctx, func() error {
		_, err := l.admin.DeleteGroup(ctx, group)
		return err
	})
	switch {
	case err == nil, errors.Is(err, kerr.GroupIDNotFound):
		return nil
	case errors.Is(err, kerr.NonEmptyGroup):
		return fmt.Errorf("delete group %s: %w", group, ErrGroupInUse)
	}
	return unreachable(l.cfg, err)
}

// GroupState is what the cluster says of a group.
type GroupState struct {
	State   string // Stable, PreparingRebalance, CompletingRebalance, Empty, or Dead: it does not exist
	Members []GroupMember
}

// GroupMember is one member of a group. While the group rebalances, what it holds may be missing.
type GroupMember struct {
	ID       string
	ClientID string // the Config's of a member of the bus: it names instance and address
	Host     string
	Holds    []TP
}

// DescribeGroup asks who belongs to a group.
func (l *Log) DescribeGroup(ctx context.Context, group string) (GroupState, error) {
	var g kadm.DescribedGroup
	err := untilCoordinated(ctx, func() error {
		described, err := l.admin.DescribeGroups(ctx, group)
		if g = described[group]; err == nil {
			err = g.Err
		}
		return err
	})
	if errors.Is(err, kerr.GroupIDNotFound) {
		return GroupState{State: "Dead"}, nil
	}
	if err != nil {
		return GroupState{}, unreachable(l.cfg, fmt.Errorf("describe group %s: %w", group, err))
	}
	return GroupState{State: g.State, Members: membersOf(&g)}, nil
}

// instancePrefix begins the client id of every instance of the bus: autobus/<instance>/<advertised address>.
const instancePrefix = "autobus/"

// InstanceID is the client id by which others find an instance among the members of groups.
func InstanceID(instance, address string) string { return instancePrefix + instance + "/" + address }

// ParseInstanceID reads the client id of a member. False: it is no instance.
func ParseInstanceID(clientID string) (instance, address string, ok bool) {
	rest, ok := strings.CutPrefix(clientID, instancePrefix)
	if !ok {
		return "", "", false
	}
	instance, address, ok = strings.Cut(rest, "/")
	return instance, address, ok && instance != "" && address != ""
}

// Members asks who belongs to any of the groups. A group that cannot be described is passed over, unless none can.
func (l *Log) Members(ctx context.Context, groups ...string) ([]GroupMember, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	described, err := l.admin.DescribeGroups(ctx, groups...)
	if err != nil && len(described) == 0 {
		return nil, unreachable(l.cfg, fmt.Errorf("describe groups: %w", err))
	}
	var out []GroupMember
	bad := 0
	for _, g := range described {
		if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) {
			bad, err = bad+1, g.Err
		}
		out = append(out, membersOf(&g)...)
	}
	if bad > 0 && bad == len(described) {
		return nil, unreachable(l.cfg, fmt.Errorf("describe groups: %w", err))
	}
	return out, nil
}

func membersOf(g *kadm.DescribedGroup) (out []GroupMember) {
	for _, d := range g.Members {
		m := GroupMember{ID: d.MemberID, ClientID: d.ClientID, Host: d.ClientHost}
		if a, ok := d.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				for _, p := range t.Partitions {
					m.Holds = append(m.Holds, TP{t.Topic, p})
				}
			}
		}
		slices.SortFunc(m.Holds, func(a, b TP) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		out = append(out, m)
	}
	return out
}

// coordinatorAgain is the pause before a group's coordinator is asked for again.
const coordinatorAgain = 250 * time.Millisecond

// untilCoordinated repeats a question while nobody coordinates the group: on a new cluster the first question for any
// group makes the topic of commits, and after a broker's end another one takes over. The client gives up at once.
func untilCoordinated(ctx context.Context, ask func() error) error {
	limit := time.After(connectTimeout)
	for {
		err := ask()
		if !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.CoordinatorLoadInProgress) &&
			!errors.Is(err, kerr.NotCoordinator) {
			return err
		}
		select {
		case <-limit:
			return err
		case <-ctx.Done():
			return err
		case <-time.After(coordinatorAgain):
		}
	}
}
