// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Nobody announces topics and partitions; the member finds them.
func TestTopicsAndPartitionsThatComeLaterAreRead(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		first, second := bustest.Prefix(), bustest.Prefix()
		w := join(t, l, "w", first)
		w.m.AddTopics(first, second) // neither exists
		create(t, l, first, 1, nil)
		write(t, l, kafka.TP{Topic: first}, "a")
		w.untilRead(kafka.TP{Topic: first}, 1)
		create(t, l, second, 1, nil)
		write(t, l, kafka.TP{Topic: second}, "b")
		w.untilRead(kafka.TP{Topic: second}, 1)
		if err := kafka.AddPartitions(t.Context(), l, first, 2); err != nil {
			t.Fatal(err)
		}
		w.untilHolds(4)
		grown := kafka.TP{Topic: first, Partition: 2}
		if !l.Renew(first) { // the producer knows one partition
			t.Fatal("nothing is in flight")
		}
		if got := write(t, l, grown, "c"); got[0].err != nil {
			t.Fatal(got[0].err)
		}
		w.untilRead(grown, 1)
		if len(w.lost)+len(w.revoked) > 0 {
			t.Errorf("revoked %v, lost %v", w.revoked, w.lost)
		}
	})
}

// joinFilled joins a group of its own on a topic of two partitions, each with n records that count from 0.
func joinFilled(t *testing.T, l *kafka.Log, n int) (m *kafka.Member, ps []kafka.TP, values []string) {
	t.Helper()
	topic := bustest.Prefix()
	create(t, l, topic, 2, nil)
	ps = partitions(topic, 2)
	values = make([]string, n)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	for _, tp := range ps {
		write(t, l, tp, values...)
	}
	m, err := kafka.JoinQuickly(t.Context(), l, kafka.Group{ID: topic, Topics: []string{topic},
		Start: func(_ context.Context, commits map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
			return map[kafka.TP]int64{ps[0]: 0, ps[1]: 0}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return m, ps, values
}

// Paused partitions drop what the client read ahead. It has to come again, once and in order.
func TestPauseAndResumeLoseNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		const n = 5000
		m, ps, values := joinFilled(t, l, n)
		defer m.Leave(context.Background())
		got := map[kafka.TP][]string{}
		for polls := 0; len(got[ps[0]])+len(got[ps[1]]) < 2*n; polls++ {
			// In turn one of them is paused, both, and none; with both paused nothing may come.
			switch polls % 4 {
			case 0:
				m.Pause(ps[0])
			case 1:
				m.Pause(ps[1])
				m.Resume(ps[0])
			case 2:
				m.Pause(ps...)
				short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				if records, _, err := m.Poll(short); len(records) > 0 || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("with all paused: %d records, error %v", len(records), err)
				}
				cancel()
				m.Resume(ps...)
			}
			if len(got[ps[0]]) == n || len(got[ps[1]]) == n {
				m.Resume(ps...) // nothing would come if the other one were paused
			}
			records, faults, err := m.Poll(t.Context())
			if err != nil || len(faults) > 0 {
				t.Fatalf("faults %v, error %v", faults, err)
			}
			for _, r := range records {
				got[r.TP] = append(got[r.TP], string(r.Value))
			}
		}
		for _, tp := range ps {
			if !slices.Equal(got[tp], values) {
				t.Errorf("%v: read %d records, or in another order", tp, len(got[tp]))
			}
		}
	})
}

// A position that is gone stops its partition alone. It is said once, not as fast as brokers can refuse.
func TestAPositionThatIsGoneStopsItsPartitionAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		topic := bustest.Prefix()
		create(t, l, topic, 2, nil)
		ps := partitions(topic, 2)
		write(t, l, ps[0], "a", "b", "c")
		write(t, l, ps[1], "d")
		if err := kafka.DeleteRecords(t.Context(), l, ps[0], 2); err != nil {
			t.Fatal(err)
		}
		w := join(t, l, "w", topic, topic)
		w.until("a fault", func() bool { return len(w.faults) == 1 })
		w.untilRead(ps[1], 1)
		for i := range int64(3) {
			write(t, l, ps[1], "e")
			w.untilRead(ps[1], 2+i)
		}
		w.until("no other fault", func() bool { return len(w.faults) == 1 })
		if f := w.faults[0]; f.TP != ps[0] || f.First != 2 || reasonOf(f.Err) != "position_lost" {
			t.Errorf("the fault: %+v", f)
		}
		w.m.Resume(ps[0])
		w.until("a fault after Resume", func() bool { return len(w.faults) == 2 })
		if w.next[ps[0]] != 0 || len(w.lost)+len(w.revoked) > 0 {
			t.Errorf("read on to %d, revoked %v, lost %v", w.next[ps[0]], w.revoked, w.lost)
		}
	})
}

func TestMemberSettings(t *testing.T) {
	_, l := open(t, kafka.Config{})
	m, err := l.Join(t.Context(), kafka.Group{ID: "g"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Leave(context.Background())
	for name, c := range map[string]struct{ got, want any }{
		"a crash is noticed quickly":           {m.Setting(kgo.SessionTimeout), 10 * time.Second},
		"heartbeats":                           {m.Setting(kgo.HeartbeatInterval), time.Second},
		"time to hand over":                    {m.Setting(kgo.RebalanceTimeout), 20 * time.Second},
		"only we commit":                       {m.Setting(kgo.DisableAutoCommit), true},
		"a slow caller stalls nobody":          {m.Setting(kgo.BlockRebalanceOnPoll), false},
		"a lost position is never jumped":      {m.Setting(kgo.ConsumeResetOffset), kgo.NoResetOffset()},
		"memory of fetches":                    {m.Setting(kgo.FetchMaxBytes), int32(2 << 20)},
		"members are dynamic":                  {m.Setting(kgo.InstanceID), ""},
		"new partitions are found in seconds":  {m.Setting(kgo.MetadataMaxAge), 10 * time.Second},
		"a restart does not look like a fault": {m.Setting(kgo.AlwaysRetryEOF), true},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	balancers := m.Setting(kgo.Balancers).([]kgo.GroupBalancer)
	if len(balancers) != 1 || !balancers[0].IsCooperative() {
		t.Errorf("balancers %v", balancers)
	}
}

// After Seek what comes is from the new place on, whatever the client had read ahead or was paused for, also where the
// log has a hole just there.
func TestSeekGoesOnElsewhere(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		const n = 3000
		m, ps, _ := joinFilled(t, l, n)
		defer m.Leave(context.Background())
		next := map[kafka.TP]int64{}
		poll := func() {
			if next[ps[0]] == n && next[ps[1]] == n {
				return // nothing would come
			}
			records, faults, err := m.Poll(t.Context())
			if err != nil || len(faults) > 0 {
				t.Fatal(faults, err)
			}
			for _, r := range records {
				if r.Offset != next[r.TP] {
					t.Fatalf("offset %d of partition %d came, want %d", r.Offset, r.Partition, next[r.TP])
				}
				next[r.TP]++
			}
		}
		for i, at := range []int64{0, 2500, 10, 10, n, 1499} {
			poll()
			if i%2 == 1 {
				m.Pause(ps[0])
			}
			m.Seek(t.Context(), map[kafka.TP]int64{ps[0]: at, {Topic: ps[0].Topic, Partition: 7}: 1})
			next[ps[0]] = at
		}
		for next[ps[0]] < n || next[ps[1]] < n {
			poll()
		}
		if err := kafka.DeleteRecords(t.Context(), l, ps[0], 100); err != nil {
			t.Fatal(err)
		}
		m.Seek(t.Context(), map[kafka.TP]int64{ps[0]: 99})
		_, faults, err := m.Poll(t.Context())
		if err != nil || len(faults) != 1 || faults[0].First != 100 {
			t.Fatal(faults, err)
		}
		m.Seek(t.Context(), map[kafka.TP]int64{ps[0]: 100})
		for next[ps[0]] = 100; next[ps[0]] < n; {
			poll()
		}
	})
}
