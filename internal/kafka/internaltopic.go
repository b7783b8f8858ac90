// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"maps"
	"strconv"

	"github.com/autobus-io/autobus"
)

// CreateInternal creates a topic of the bus's own unless it exists: as safe as the cluster allows, with room for the
// largest event and what the bus adds to it. configs are further settings.
func (l *Log) CreateInternal(ctx context.Context, name string, partitions int32, configs map[string]string) (
	created bool, err error,
) {
	cluster, err := l.Describe(ctx)
	if err != nil {
		return false, err
	}
	replicas := min(3, len(cluster.Brokers))
	inSync := 1
	if replicas == 3 {
		inSync = 2
	}
	all := map[string]string{
		"min.insync.replicas":            strconv.Itoa(inSync),
		"unclean.leader.election.enable": "false",
		"max.message.bytes":              strconv.Itoa(largest),
	}
	maps.Copy(all, configs)
	created, err = l.CreateTopic(ctx, NewTopic{Name: name, Partitions: partitions, Replicas: replicas, Configs: all})
	if err == nil {
		l.UseInternal(name)
	}
	return created, err
}

// largest is what a topic of the bus's own takes.
const largest = autobus.MaxEventBytes + autobus.InternalTopicExtra + autobus.RecordOverhead

// UseInternal tells the producer how large the records of a topic of the bus's own may be, where it exists already.
func (l *Log) UseInternal(name string) { l.Limit(name, largest) }
