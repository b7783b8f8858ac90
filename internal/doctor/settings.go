// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// idleGroupDays is the least time Kafka should remember the positions of a group that is not there.
const idleGroupDays = 7

// settings looks at the settings of each broker that can break a promise silently, and gives those of the last one.
func (l *list) settings(ctx context.Context, t Target, about kafka.Cluster) (last map[string]string) {
	if t.Embedded {
		return nil
	}
	for _, b := range about.Brokers {
		settings, err := t.Log.BrokerConfigs(ctx, b.ID)
		if err != nil {
			l.add(Warning, CheckBrokers, fmt.Sprintf("broker %d", b.ID), "its settings cannot be described: "+err.Error(),
				"allow the bus's user DescribeConfigs on the cluster")
			continue
		}
		l.brokerSettings(b.ID, settings)
		last = settings
	}
	return last
}

// brokerSettings looks at one broker. A setting that the cluster does not tell is left out.
func (l *list) brokerSettings(id int32, s map[string]string) {
	where := fmt.Sprintf("broker %d", id)
	var w worst
	if s["auto.create.topics.enable"] == "true" {
		w.add(Problem, "auto.create.topics.enable=true: a typing error in any client makes a topic that no spec describes",
			"set auto.create.topics.enable=false")
	}
	if s["unclean.leader.election.enable"] == "true" {
		w.add(Warning, "unclean.leader.election.enable=true: topics made outside the bus lose acknowledged records",
			"set unclean.leader.election.enable=false")
	}
	if v, err := strconv.Atoi(s["offsets.retention.minutes"]); err == nil && v < idleGroupDays*24*60 {
		w.add(Warning, fmt.Sprintf("offsets.retention.minutes=%d: positions of idle readers are forgotten", v),
			fmt.Sprintf("set offsets.retention.minutes=%d or more", idleGroupDays*24*60))
	}
	if v, err := strconv.Atoi(s["replica.lag.time.max.ms"]); err == nil && v > 15_000 {
		w.add(Warning, fmt.Sprintf("replica.lag.time.max.ms=%d: a hanging replica holds up every publish for %s, and their "+
			"deadline is 15s", v, time.Duration(v)*time.Millisecond), "set replica.lag.time.max.ms=10000")
	}
	if len(w.what) > 0 {
		*l = append(*l, w.finding(CheckBrokers, where, ""))
	}
}

// disks looks at the volumes of the brokers. One that cannot say leaves a gap in the report, not in the cluster.
func (l *list) disks(ctx context.Context, t Target) {
	if t.Embedded {
		return // its folder is this machine's
	}
	disks, err := t.Log.Disks(ctx)
	if err != nil {
		l.skip(CheckDisk, "brokers", err.Error(), "allow the bus's user Describe on the cluster")
		return
	}
	for _, d := range disks {
		where := fmt.Sprintf("broker %d %s", d.Broker, d.Dir)
		switch {
		case d.Err != nil:
			l.add(Problem, CheckDisk, where, "the broker cannot use it: "+d.Err.Error(),
				"mend the disk, then restart the broker")
		case d.Size <= 0 || d.Free > d.Size:
			l.skip(CheckDisk, where, "the broker does not say how full it is", "Kafka 3.3 and newer tell")
		default:
			l.disk(where, d.Free, d.Size, "add space, shorten retention, or move partitions away")
		}
	}
}

// disk judges a volume: nearly full soon stops a broker, full stops it now.
func (l *list) disk(where string, free, size int64, fix string) {
	what := fmt.Sprintf("%s of %s are free", bytes(free), bytes(size))
	switch {
	case free < size/20:
		l.add(Problem, CheckDisk, where, what, fix)
	case free < size/10:
		l.add(Warning, CheckDisk, where, what, fix)
	default:
		l.ok(CheckDisk, where, "%s", what)
	}
}

// bytes writes a size for people.
func bytes(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}
