// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Settings say how Init makes the control log.
type Settings struct {
	ClusterName string
	Actor       string
	Replicas    int  // copies of the log; at 3 and more, two of them must have a record before it counts
	Adopt       bool // take the cluster although it has topics that look like event types
}

// Init creates the control log and gives the cluster its id. On a cluster that has one already it changes nothing.
func Init(ctx context.Context, log *kafka.Log, s Settings) (clusterID string, created bool, err error) {
	topics, err := log.Topics(ctx)
	if err != nil {
		return "", false, err
	}
	_, exists := topics[Topic]
	if made := MadeByBus(topics); len(made) > 0 && !exists && !s.Adopt {
		return "", false, lost("there is none, but there are topics such as " + made[0])
	}
	minISR := 1
	if s.Replicas >= 3 {
		minISR = 2
	}
	settings := map[string]string{
		"cleanup.policy":                 "delete",
		"retention.ms":                   "-1",
		"retention.bytes":                "-1",
		"min.insync.replicas":            strconv.Itoa(minISR),
		"unclean.leader.election.enable": "false",
		"max.message.bytes":              strconv.Itoa(maxRecordBytes),
	}
	if err := create(ctx, log, kafka.NewTopic{Name: Topic, Partitions: 1, Replicas: s.Replicas,
		Configs: settings}); err != nil {
		return "", false, err
	}
	ends, err := log.Ends(ctx, Topic)
	if err != nil {
		return "", false, err
	}
	log.Limit(Topic, maxRecordBytes)
	if ends[partition] == 0 {
		// Two that do this at once both write; the first record counts, the second does not name it as Prev.
		r, err := NewRecord(KindCluster, s.ClusterName, None, ClusterValue{ID: rand.Text(), Name: s.ClusterName})
		if err != nil {
			return "", false, err
		}
		r.Actor, r.Reason, r.Time = s.Actor, "cluster init", time.Now()
		value, err := encode(r, newChange())
		if err != nil {
			return "", false, err
		}
		if _, err := appendRecord(ctx, log, r, value); err != nil {
			return "", false, err
		}
		created = true
	}
	id, err := readID(ctx, log)
	return id, created, err
}

// create makes the topic. One that somebody else made gets the settings all the same: a control log that expires loses
// the cluster.
func create(ctx context.Context, log *kafka.Log, want kafka.NewTopic) error {
	created, err := log.CreateTopic(ctx, want)
	if err != nil || created {
		return err
	}
	topics, err := log.Topics(ctx, want.Name)
	if err != nil {
		return err
	}
	have := topics[want.Name]
	if have.Err != nil {
		return have.Err
	}
	differ := map[string]string{}
	for _, key := range []string{"cleanup.policy", "retention.ms", "retention.bytes", "unclean.leader.election.enable"} {
		if got, told := have.Configs[key]; told && got != want.Configs[key] {
			differ[key] = want.Configs[key]
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return log.AlterTopic(ctx, want.Name, differ)
}

// check tells a cluster that was never prepared from one whose control log is gone.
func check(ctx context.Context, log *kafka.Log) error {
	topics, err := log.Topics(ctx)
	if err != nil {
		return err
	}
	made := MadeByBus(topics)
	if _, ok := topics[Topic]; !ok {
		if len(made) > 0 {
			return lost("there is none, but there are topics such as " + made[0])
		}
		return notReady(log)
	}
	starts, err := log.Starts(ctx, Topic)
	if err != nil {
		return err
	}
	if starts[partition] > 0 {
		return lost("its records below offset " + strconv.FormatInt(starts[partition], 10) + " were deleted")
	}
	ends, err := log.Ends(ctx, Topic)
	if err != nil {
		return err
	}
	if ends[partition] > 0 {
		return nil
	}
	if len(made) > 0 {
		return lost("it is empty, but there are topics such as " + made[0])
	}
	return notReady(log)
}

// MadeByBus lists the topics that exist only where a bus has worked.
func MadeByBus(topics map[string]kafka.Topic) []string {
	var out []string
	for name := range topics {
		if name != Topic && (strings.HasPrefix(name, "_autobus.") || autobus.ValidType(name)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// readID reads the log's first record.
func readID(ctx context.Context, log *kafka.Log) (string, error) {
	reader, err := log.Follow(map[kafka.TP]int64{partition: 0})
	if err != nil {
		return "", err
	}
	defer reader.Close()
	for {
		records, err := reader.Poll(ctx)
		if err != nil {
			return "", err
		}
		if len(records) == 0 {
			continue
		}
		r, _, err := decode(records[0].Offset, records[0].Value)
		if err != nil || r.Kind != KindCluster || r.Offset != 0 {
			return "", lost("its first record does not name the cluster")
		}
		v, err := Decode[ClusterValue](r)
		return v.ID, err
	}
}

func lost(why string) *autobus.Error {
	return autobus.NewError(autobus.ReasonControlLost, "control log %s: %s", Topic, why)
}

func notReady(log *kafka.Log) error {
	return autobus.NewError(autobus.ReasonClusterNotReady, "cluster %s has no control log yet", log.Name()).
		WithHint("Run autobus cluster init.")
}
