// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// TestTamperedPositions is the short form of T16, on the embedded broker and before a cluster.
func TestTamperedPositions(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) { tamperPositions(t, s, scale{rate: 800}, &row{}) })
}

// tamperPositions commits what the bus never would, with a plain Kafka client, between two lives of a group: what
// would skip events if it were believed. Nothing may be skipped, every partition has to go on within 5 s, and the
// alarm has to count each of the positions that somebody touched.
func tamperPositions(t *testing.T, s *stand, sc scale, r *row) {
	const start = 5 * time.Second
	first, l := s.start(t), newSource(s, sc.rate)
	c := newCrew(t, l.load, first, autobus.Policy{})
	var mu sync.Mutex
	failed := map[int32]int{} // events that fail in the first life, by partition
	c.verdict = func(d autobus.Delivery) verdict {
		mu.Lock()
		defer mu.Unlock()
		if d.Attempt > 1 || d.Offset%5 != 0 || failed[d.Partition] == 3 {
			return verdict{}
		}
		failed[d.Partition]++
		// A longer wait would be parked, and outlive the instance.
		return verdict{Outcome: autobus.Outcome{Kind: autobus.Retry, Delay: 55 * time.Second}}
	}
	c.hire(4, 4)
	l.moveTo(t, first)
	bustest.Eventually(t, "failed events in every partition", func(context.Context) bool {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for _, have := range failed {
			n += have
		}
		return n == 3*partitions
	})
	c.await(t, first, 1000)
	l.stop()
	first.term(t)
	c.goTo()
	first.end(t)
	c.deserted(t, first)

	g := s.start(t)
	l.moveTo(t, g)
	before := l.acked()
	bustest.Eventually(t, "further events", func(context.Context) bool { return l.acked() >= before+400 })
	l.stop()
	touched := tamper(t, s, c)
	c.group.Damaged = true // attempts that only the position knew begin anew
	for at := range c.placesOf(first) {
		if touched[at.partition] {
			c.group.Repeats++
		}
	}
	for p := range touched {
		c.group.Repeats -= failed[p] // they are not done, they have to come again
	}

	at := time.Now()
	c.goTo(g)
	bustest.Eventually(t, "events of every partition", func(context.Context) bool {
		return len(perPartition(c.sightings(g))) == partitions
	})
	slowest := time.Duration(0)
	for _, d := range c.sightings(g) {
		if firstOf(c.sightings(g), d.Partition).Equal(d.at) {
			slowest = max(slowest, d.at.Sub(at))
		}
	}
	c.awaitEnd(t, g)
	alarms := unreadable(t, g)
	if alarms != len(touched) {
		t.Errorf("%d positions were touched, the alarm says %d", len(touched), alarms)
	}
	if slowest > start {
		t.Errorf("a partition went on after %s, more than %s", slowest, start)
	}
	rep := c.judge(t, l, s)
	if rep.Repeats == 0 {
		t.Error("nothing came again: the touched positions were believed")
	}
	r.consumed(t, l, rep, "%d positions touched, %d alarms, the last partition went on after %s", len(touched), alarms,
		seconds(slowest))
}

// tamper commits for some partitions what would skip events, and says which these are.
func tamper(t *testing.T, s *stand, c *crew) map[int32]bool {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	stored, err := admin.FetchOffsets(ctx, c.name)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := s.broker.Open(t).Ends(ctx, s.typ)
	if err != nil {
		t.Fatal(err)
	}
	end := func(p int32) int64 { return ends[kafka.TP{Topic: s.typ, Partition: p}] }
	have := func(p int32) kadm.Offset {
		o, ok := stored.Lookup(s.typ, p)
		if !ok || o.At >= end(p) || o.Metadata == "" {
			t.Fatalf("partition %d has the position %+v, its log ends at %d: there is nothing to tamper with", p, o, end(p))
		}
		return o.Offset
	}
	commit := func(p int32, offset int64, metadata string) error {
		o := kadm.Offsets{}
		o.AddOffset(s.typ, p, offset, -1)
		o[s.typ][p] = kadm.Offset{Topic: s.typ, Partition: p, At: offset, LeaderEpoch: -1, Metadata: metadata}
		responses, err := admin.CommitOffsets(ctx, c.name, o)
		if err == nil {
			err = responses.Error()
		}
		if err == nil {
			now, fetchErr := admin.FetchOffsets(ctx, c.name)
			if o, _ := now.Lookup(s.typ, p); fetchErr != nil || o.At != offset || o.Metadata != metadata {
				t.Fatalf("partition %d has %d %q after the commit: %v", p, o.At, o.Metadata, fetchErr)
			}
		}
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("commit: %v", err)
		}
	}
	flipped := []byte(have(0).Metadata)
	flipped[len(flipped)/2] ^= 1
	must(commit(0, have(0).At, string(flipped)))                // a bit went wrong
	must(commit(1, end(1), "consumer-orders-1-8f3a"))           // another client's habit
	must(commit(2, end(2), ""))                                 // a tool that resets offsets
	must(commit(3, end(3), have(3).Metadata))                   // one that keeps the metadata
	must(commit(4, end(4), have(4).Metadata[:10]))              // one that cuts it
	err = commit(5, end(5), strings.Repeat("oversized", 1_000)) // what only the embedded broker takes
	if s.cluster != nil {
		if !errors.Is(err, kerr.OffsetMetadataTooLarge) {
			t.Errorf("9,000 characters of metadata are not refused: %v", err)
		}
		err = commit(5, end(5), strings.Repeat("A", 4096)) // the most that it takes
	}
	must(err)
	return map[int32]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true}
}

var unreadableMetric = regexp.MustCompile(`(?m)^autobus_positions_unreadable_total (\d+)$`)

// unreadable reads the alarm of a gateway.
func unreadable(t *testing.T, g *gateway) int {
	t.Helper()
	resp, err := http.Get(g.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := unreadableMetric.FindSubmatch(text)
	if m == nil {
		t.Fatalf("the metric is missing:\n%s", text)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// placesOf is the set of events that were seen from a gateway.
func (c *crew) placesOf(g *gateway) map[place]bool {
	out := map[place]bool{}
	for _, d := range c.sightings(g) {
		out[d.place()] = true
	}
	return out
}

func firstOf(all []sighting, partition int32) time.Time {
	for i := range all {
		if all[i].Partition == partition {
			return all[i].at
		}
	}
	return time.Time{}
}
