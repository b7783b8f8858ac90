// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// CreateType makes an unspecified type, for dev only: one partition and no schema, so that a first event needs no
// spec. A topic that exists, because somebody wrote to the Kafka port, is taken as it is. A type that has a route is
// left alone.
func (r *Registry) CreateType(ctx context.Context, name string) error {
	if !r.cfg.Dev {
		return autobus.NewError(autobus.ReasonTypeUnknown, "no spec declares %s", name)
	}
	if autobus.ReservedName(name) {
		return autobus.NewError(autobus.ReasonTypeReserved, "%s is a name of the bus itself", name)
	}
	if !autobus.LegalTopic(name) || strings.HasSuffix(name, ".reply") {
		return autobus.NewError(autobus.ReasonTypeInvalid, "%q cannot be the name of a Kafka topic", name)
	}
	// Many first events of a type come at once; only one of them makes it.
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	have := r.route(name)
	if have.exists {
		return nil
	}
	topic, err := r.unspecifiedTopic(ctx, name)
	if err != nil {
		return err
	}
	err = r.write(ctx, control.KindRoute, name, have.prev, control.Route{
		Type: name, Cluster: r.cfg.ClusterName, Topic: name, Partitions: topic.Partitions, Hash: "murmur2",
		Order: control.OrderKey, Epoch: 1, BestEffort: true, Unspecified: true,
		MaxEventBytes: max(1, min(autobus.MaxEventBytes, int(topic.MaxMessageBytes())-autobus.RecordOverhead)),
	}, change{"autobus", "first event of a type without a spec"})
	if errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) && r.route(name).exists {
		return nil // another instance made it at the same moment
	}
	return err
}

func (r *Registry) unspecifiedTopic(ctx context.Context, name string) (kafka.Topic, error) {
	topics, err := r.cfg.Log.Topics(ctx, name)
	if err != nil {
		return kafka.Topic{}, err
	}
	if topic, ok := topics[name]; ok {
		return topic, topic.Err
	}
	if err := r.refuseTwin(ctx, name); err != nil {
		return kafka.Topic{}, err
	}
	cluster, err := r.cfg.Log.Describe(ctx)
	if err != nil {
		return kafka.Topic{}, err
	}
	replicas := min(defaultReplicas, len(cluster.Brokers))
	if r.cfg.Embedded {
		replicas = 1
	}
	if _, err := r.cfg.Log.CreateTopic(ctx, kafka.NewTopic{Name: name, Partitions: 1, Replicas: replicas,
		Configs: cut(map[string]string{
			"retention.ms": defaultRetention, minISRKey: strconv.Itoa(defaultMinISR), "unclean.leader.election.enable": "false",
		}, replicas)}); err != nil {
		return kafka.Topic{}, err
	}
	if topics, err = r.cfg.Log.Topics(ctx, name); err != nil {
		return kafka.Topic{}, err
	}
	topic, ok := topics[name]
	if !ok {
		return kafka.Topic{}, autobus.NewError(autobus.ReasonClusterUnreachable, "topic %s was made and is gone again", name)
	}
	return topic, topic.Err
}

// refuseTwin refuses a name that differs from a topic's only in dots and underscores. Kafka would refuse it too,
// because its metrics could not tell them apart, but would not say which topic it is.
func (r *Registry) refuseTwin(ctx context.Context, name string) error {
	topics, err := r.cfg.Log.Topics(ctx)
	if err != nil {
		return err
	}
	dotted := strings.ReplaceAll(name, "_", ".")
	for _, twin := range slices.Sorted(maps.Keys(topics)) {
		if twin != name && strings.ReplaceAll(twin, "_", ".") == dotted {
			return autobus.NewError(autobus.ReasonTypeInvalid,
				"%s differs from the topic %s only in dots and underscores, which Kafka does not allow", name, twin).
				WithHint("Send to %s, or choose a name that differs in more.", twin)
		}
	}
	return nil
}
