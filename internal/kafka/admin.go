// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
)

// Topic is what the cluster says of a topic.
type Topic struct {
	Name       string
	ID         [16]byte // another one after the topic was deleted and created again
	Partitions int32
	Replicas   int               // the smallest replica count of its partitions
	Configs    map[string]string // effective settings, defaults included
	Err        error             // why the brokers do not describe it, such as a missing right; the rest is not known then
}

// MaxMessageBytes is the largest batch the topic takes.
func (t Topic) MaxMessageBytes() int32 {
	return int32(t.number("max.message.bytes", 1_048_588))
}

// MinISR is how many in-sync replicas an append needs.
func (t Topic) MinISR() int { return int(t.number("min.insync.replicas", 1)) }

// Unclean reports whether a replica that misses acknowledged records may become leader.
func (t Topic) Unclean() bool { return t.Configs["unclean.leader.election.enable"] == "true" }

// Millis is a setting that is a time in milliseconds, at most 146 years; negative where Kafka means for ever. false =
// the brokers did not say.
func (t Topic) Millis(key string) (time.Duration, bool) {
	n, err := strconv.ParseInt(t.Configs[key], 10, 64)
	return time.Duration(min(n, mostMillis)) * time.Millisecond, err == nil
}

const mostMillis = int64(1<<62) / int64(time.Millisecond) // so that two of them can be added

func (t Topic) number(key string, or int64) int64 {
	n, err := strconv.ParseInt(t.Configs[key], 10, 64)
	if err != nil {
		return or
	}
	return n
}

// Topics describes the named topics, or all that are not Kafka's own. A topic that does not exist is absent; one that
// cannot be described says why, and the others are described all the same.
func (l *Log) Topics(ctx context.Context, names ...string) (map[string]Topic, error) {
	// Not through the admin client, which may answer from a cache older than the topic.
	resp, err := metadataRequest(names...).RequestWith(ctx, l.client)
	if err != nil {
		return nil, unreachable(l.cfg, err)
	}
	out := make(map[string]Topic, len(resp.Topics))
	found := make([]string, 0, len(resp.Topics))
	for _, d := range resp.Topics {
		err := kerr.ErrorForCode(d.ErrorCode)
		if d.Topic == nil || d.IsInternal || errors.Is(err, kerr.UnknownTopicOrPartition) {
			continue
		}
		if err != nil {
			out[*d.Topic] = Topic{Name: *d.Topic, Err: fmt.Errorf("describe topic %s: %w", *d.Topic, err)}
			continue
		}
		t := Topic{Name: *d.Topic, ID: d.TopicID, Partitions: int32(len(d.Partitions)), Configs: map[string]string{}}
		for _, p := range d.Partitions {
			if n := len(p.Replicas); t.Replicas == 0 || n < t.Replicas {
				t.Replicas = n
			}
		}
		out[t.Name] = t
		found = append(found, t.Name)
	}
	if len(found) == 0 {
		return out, nil
	}
	return out, l.describeSettings(ctx, out, found...)
}

// describeSettings adds the settings of topics. The client answers for all or for none when a right is missing for one,
// so then they are asked for one by one.
func (l *Log) describeSettings(ctx context.Context, out map[string]Topic, names ...string) error {
	configs, err := l.admin.DescribeTopicConfigs(ctx, names...)
	if _, denied := errors.AsType[*kadm.AuthError](err); denied && len(names) > 1 {
		for _, name := range names {
			if err := l.describeSettings(ctx, out, name); err != nil {
				return err
			}
		}
		return nil
	} else if denied {
		configs = kadm.ResourceConfigs{{Name: names[0], Err: err}}
	} else if err != nil {
		return unreachable(l.cfg, err)
	}
	for _, rc := range configs {
		t := out[rc.Name]
		switch {
		case errors.Is(rc.Err, kerr.UnknownTopicOrPartition): // deleted in between
			delete(out, rc.Name)
			continue
		case rc.Err != nil:
			t.Err = fmt.Errorf("describe settings of topic %s: %w", rc.Name, rc.Err)
		}
		for _, c := range rc.Configs {
			if c.Value != nil {
				t.Configs[c.Key] = *c.Value
			}
		}
		out[rc.Name] = t
	}
	return nil
}

// NewTopic asks for a topic.
type NewTopic struct {
	Name       string
	Partitions int32
	Replicas   int
	Configs    map[string]string
}

// CreateTopic creates a topic unless it exists, and waits until every broker knows a leader for each partition:
// before that an append could be told that the topic does not exist.
func (l *Log) CreateTopic(ctx context.Context, t NewTopic) (created bool, err error) {
	configs := make(map[string]*string, len(t.Configs))
	for k, v := range t.Configs {
		configs[k] = &v
	}
	resp, err := l.admin.CreateTopic(ctx, t.Partitions, int16(t.Replicas), configs, t.Name)
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
	case resp.Err != nil || resp.ErrMessage != "":
		return false, fmt.Errorf("create topic %s: %w %s", t.Name, err, resp.ErrMessage)
	case err != nil:
		return false, unreachable(l.cfg, err)
	default:
		created = true
	}
	return created, l.awaitTopic(ctx, t.Name)
}

// DeleteTopics deletes topics, with all they hold. Those that do not exist are fine.
func (l *Log) DeleteTopics(ctx context.Context, topics ...string) error {
	if len(topics) == 0 {
		return nil
	}
	resps, err := l.admin.DeleteTopics(ctx, topics...)
	if err != nil {
		return unreachable(l.cfg, err)
	}
	for _, r := range resps {
		if r.Err != nil && !errors.Is(r.Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("delete topic %s: %w %s", r.Topic, r.Err, r.ErrMessage)
		}
	}
	return nil
}

// AlterTopic sets some of a topic's settings and leaves the others.
func (l *Log) AlterTopic(ctx context.Context, name string, configs map[string]string) error {
	alter := make([]kadm.AlterConfig, 0, len(configs))
	for k, v := range configs {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: &v})
	}
	resps, err := l.admin.AlterTopicConfigs(ctx, alter, name)
	if err != nil {
		return unreachable(l.cfg, err)
	}
	for _, r := range resps {
		if r.Err != nil {
			return fmt.Errorf("alter topic %s: %w %s", name, r.Err, r.ErrMessage)
		}
	}
	return nil
}

// BrokerConfigs returns the settings of one broker.
func (l *Log) BrokerConfigs(ctx context.Context, id int32) (map[string]string, error) {
	configs, err := l.admin.DescribeBrokerConfigs(ctx, id)
	if err != nil {
		return nil, unreachable(l.cfg, err)
	}
	out := map[string]string{}
	for _, rc := range configs {
		if rc.Err != nil {
			return nil, fmt.Errorf("describe settings of broker %d: %w", id, rc.Err)
		}
		for _, c := range rc.Configs {
			if c.Value != nil {
				out[c.Key] = *c.Value
			}
		}
	}
	return out, nil
}

// Cluster is what the cluster says of itself.
type Cluster struct {
	ID         string   `json:"id"`
	Controller int32    `json:"controller"`
	Brokers    []Broker `json:"brokers"`
}

// Broker is one node.
type Broker struct {
	ID   int32  `json:"id"`
	Addr string `json:"addr"`
	Rack string `json:"rack,omitempty"`
}

// Describe asks the cluster who belongs to it.
func (l *Log) Describe(ctx context.Context) (Cluster, error) {
	m, err := l.admin.BrokerMetadata(ctx)
	if err != nil {
		return Cluster{}, unreachable(l.cfg, err)
	}
	c := Cluster{ID: m.Cluster, Controller: m.Controller}
	for _, b := range m.Brokers {
		broker := Broker{ID: b.NodeID, Addr: fmt.Sprintf("%s:%d", b.Host, b.Port)}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		c.Brokers = append(c.Brokers, broker)
	}
	return c, nil
}

// awaitInterval is how often awaitTopic asks a broker again.
const awaitInterval = 50 * time.Millisecond

// awaitTopic waits until all brokers that can be reached know the topic. Who cannot be reached is not waited for: one
// that is dead is listed for 9 s more, and knows all topics before it serves again.
func (l *Log) awaitTopic(ctx context.Context, name string) error {
	known := map[int32]bool{}
	for {
		cluster, err := l.Describe(ctx)
		if err != nil {
			return err
		}
		waiting := int32(-1)
		for _, b := range cluster.Brokers {
			if known[b.ID] {
				continue
			}
			ok, why := l.knows(ctx, b.ID, name)
			switch {
			case ok:
				known[b.ID] = true
			case !noDial(why):
				waiting, err = b.ID, why
			}
		}
		if waiting < 0 && len(known) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return autobus.NewError(autobus.ReasonClusterUnreachable, "broker %d has no leaders for topic %s yet",
				waiting, name).WithCause(errors.Join(ctx.Err(), err))
		case <-time.After(awaitInterval):
		}
	}
}

func (l *Log) knows(ctx context.Context, broker int32, topic string) (bool, error) {
	resp, err := metadataRequest(topic).RequestWith(ctx, l.client.Broker(int(broker)))
	if err != nil {
		return false, err
	}
	if len(resp.Topics) != 1 {
		return false, nil
	}
	t := resp.Topics[0]
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
		return false, err
	}
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			return false, kerr.ErrorForCode(p.ErrorCode)
		}
	}
	return len(t.Partitions) > 0, nil
}

// metadataRequest asks for the named topics, or for all.
func metadataRequest(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &name
		req.Topics = append(req.Topics, rt)
	}
	return req
}
