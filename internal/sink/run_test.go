// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/sqlite"
	"github.com/autobus-io/autobus/internal/sink/store"
)

const file = `
name: notes
table: notes
lease: 500ms
columns: {n: {from: /n, type: integer}}
types: [notes.note.taken.v1]
`

const topic = "notes.note.taken.v1"

// stand is an embedded broker, and a database in a file.
type stand struct {
	t      *testing.T
	broker *bustest.Kafka
	log    *kafka.Log
	dsn    string
	sent   int64
}

func newStand(t *testing.T) *stand {
	s := &stand{t: t, broker: bustest.Embedded(t), dsn: sqlite.Scheme + filepath.Join(t.TempDir(), "notes.db")}
	s.log = s.broker.Open(t)
	s.create()
	return s
}

func (s *stand) create() {
	s.t.Helper()
	if _, err := s.log.CreateTopic(s.t.Context(), kafka.NewTopic{Name: topic, Partitions: 1, Replicas: 1}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) send(data ...string) {
	s.t.Helper()
	for _, d := range data {
		if _, err := s.log.Write(s.t.Context(), kafka.Record{TP: kafka.TP{Topic: topic}, Value: []byte(d)}); err != nil {
			s.t.Fatal(err)
		}
		s.sent++
	}
}

func (s *stand) note(n int) {
	for i := range n {
		s.send(fmt.Sprintf(`{"n":%d}`, i))
	}
}

// runner is one process of the sink.
type runner struct {
	*sink.Runner
	store   *store.Store
	plan    *sink.Plan
	metrics *prometheus.Registry
	ended   chan error
	stop    context.CancelFunc
}

func (s *stand) runner(change ...func(*sink.Config)) *runner {
	s.t.Helper()
	f, err := sink.ParseFile("sink.yaml", []byte("dsn: "+s.dsn+file), os.LookupEnv)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &runner{metrics: prometheus.NewRegistry(), ended: make(chan error, 1)}
	cfg := sink.Config{Log: s.log, Logger: bustest.Logger(s.t), Metrics: sink.NewMetrics(r.metrics)}
	source := []sink.Source{{Type: topic, Topic: topic, Partitions: 1}}
	if r.store, err = sqlite.New(s.dsn); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = r.store.End() })
	cfg.Target = r.store
	for _, c := range change {
		c(&cfg)
		if cfg.Plan != nil { // only the file in it is wanted
			f = cfg.Plan.File
		}
	}
	var faults error
	p, problems, _ := sink.MakePlan(f, source)
	if faults = problems; len(problems) > 0 {
		s.t.Fatal(faults)
	}
	cfg.Plan, r.plan = p, p
	check, err := r.store.Check(s.t.Context(), p)
	if err == nil {
		err = r.store.Apply(s.t.Context(), check.Steps)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	r.Runner = sink.New(cfg)
	return r
}

func (s *stand) start(r *runner) *runner {
	ctx, stop := context.WithCancel(s.t.Context())
	r.stop = stop
	go func() { r.ended <- r.Run(ctx) }()
	s.t.Cleanup(stop)
	return r
}

// reaches waits until the position is at the end of what was sent.
func (s *stand) reaches(r *runner) {
	s.t.Helper()
	bustest.Eventually(s.t, "the sink has everything", func(ctx context.Context) bool {
		st, _, err := r.store.Status(ctx, "notes")
		return err == nil && st.Positions[kafka.TP{Topic: topic}].Next == s.sent
	})
}

func (r *runner) ends(t *testing.T) error {
	t.Helper()
	r.stop()
	return <-r.ended
}

// metric gives the value of a metric, of one state where it has states; -1 = it is not there.
func (r *runner) metric(name, state string) float64 {
	families, _ := r.metrics.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			of := ""
			for _, l := range m.GetLabel() {
				if l.GetName() == "state" {
					of = l.GetValue()
				}
			}
			if f.GetName() == name && of == state {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

// trim deletes events as retention would.
func (s *stand) trim(to int64) {
	s.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Brokers...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	var o kadm.Offsets
	o.AddOffset(topic, 0, to, -1)
	if _, err := kadm.NewClient(c).DeleteRecords(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

func TestASinkGoesOnWhereItWas(t *testing.T) {
	s := newStand(t)
	s.note(5)
	r := s.start(s.runner())
	s.reaches(r)
	if err := r.ends(t); err != nil {
		t.Fatal(err)
	}
	s.send(`{"n":2147483648}`, `{"n":7}`)
	r = s.start(s.runner())
	s.reaches(r)
	bustest.Eventually(t, "the metrics tell of it", func(context.Context) bool {
		return r.metric("autobus_sink_rows_total", "") == 1 && r.metric("autobus_sink_bad_rows_total", "") == 1
	})
	if err := r.ends(t); err != nil {
		t.Fatal(err)
	}
}

// A second process writes nothing while the first lives, and goes on when it is gone.
func TestAnotherProcessTakesOver(t *testing.T) {
	s := newStand(t)
	first := s.start(s.runner())
	s.note(3)
	s.reaches(first)
	second := s.start(s.runner())
	bustest.Eventually(t, "the second stands by", func(context.Context) bool {
		return second.metric("autobus_sink_state", "standby") == 1 && second.metric("autobus_sink_state", "writing") == 0
	})
	if err := first.ends(t); err != nil {
		t.Fatal(err)
	}
	s.note(3)
	s.reaches(second)
	if err := second.ends(t); err != nil {
		t.Fatal(err)
	}
}

func TestDeletedEventsStopASinkWithTheirNumber(t *testing.T) {
	s := newStand(t)
	s.note(2)
	r := s.start(s.runner())
	s.reaches(r)
	_ = r.ends(t)
	s.note(8)
	s.trim(6)
	r = s.start(s.runner())
	err := <-r.ended
	if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonPositionLost}) ||
		!strings.Contains(err.Error(), "4 events of partition 0 of "+topic+", offsets 2 to 5,") {
		t.Fatalf("%v", err)
	}
	r = s.start(s.runner(func(c *sink.Config) { c.AcceptGap = true }))
	s.reaches(r)
	if err := r.ends(t); err != nil {
		t.Fatal(err)
	}
}

func TestATopicMadeAnewStopsASink(t *testing.T) {
	s := newStand(t)
	s.note(2)
	r := s.start(s.runner())
	s.reaches(r)
	_ = r.ends(t)
	if err := s.log.DeleteTopics(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	s.create()
	r = s.start(s.runner())
	if err := <-r.ended; !errors.Is(err, &autobus.Error{Reason: autobus.ReasonPositionLost}) ||
		!strings.Contains(err.Error(), "made again") {
		t.Fatalf("%v", err)
	}
}

// Events of another shape are a drift, not poison: nothing of them is written, and nothing skipped.
func TestADriftStopsASink(t *testing.T) {
	s := newStand(t)
	s.note(3)
	r := s.start(s.runner())
	s.reaches(r)
	for range 12 {
		s.send(`{"n":"many"}`)
	}
	if err := <-r.ended; !errors.Is(err, &autobus.Error{Reason: autobus.ReasonSinkDrift}) ||
		!strings.Contains(err.Error(), "22P02") {
		t.Fatalf("%v", err)
	}
}

// A record of a form that only a newer build knows is not jumped over, and what stands before it is written.
func TestARecordOfANewerFormStopsASink(t *testing.T) {
	s := newStand(t)
	s.note(3)
	at := s.sent
	if _, err := s.log.Write(t.Context(), kafka.Record{TP: kafka.TP{Topic: topic}, Value: []byte(`{"n":1}`),
		Headers: []kafka.Header{{Key: "autobus-form", Value: []byte("9")}}}); err != nil {
		t.Fatal(err)
	}
	r := s.start(s.runner())
	if err := <-r.ended; !errors.Is(err, &autobus.Error{Reason: autobus.ReasonTypeUnreadable}) {
		t.Fatalf("%v", err)
	}
	if st, _, err := r.store.Status(t.Context(), "notes"); err != nil || st.Positions[kafka.TP{Topic: topic}].Next != at {
		t.Errorf("the position is %v, %v", st.Positions, err)
	}
}

// grow gives the topic more partitions.
func (s *stand) grow(partitions int) {
	s.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Brokers...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if _, err := kadm.NewClient(c).UpdatePartitions(s.t.Context(), partitions, topic); err != nil {
		s.t.Fatal(err)
	}
}

// Partitions that a topic gets later are read without a restart, and from their start wherever a new sink begins: what
// is in them came after it.
func TestPartitionsThatComeLaterAreReadFromTheirStart(t *testing.T) {
	s := newStand(t)
	s.note(3)
	latest, err := sink.ParseFile("sink.yaml", []byte("dsn: "+s.dsn+file+"start: latest\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	change := func(c *sink.Config) { c.Plan, c.Look = &sink.Plan{File: latest}, 10*time.Millisecond }
	send := func(partition int32) {
		t.Helper()
		writer := s.broker.Open(t) // which knows all partitions
		if _, err := writer.Write(t.Context(), kafka.Record{TP: kafka.TP{Topic: topic, Partition: partition},
			Value: []byte(`{"n":7}`)}); err != nil {
			t.Fatal(err)
		}
	}
	r := s.start(s.runner(change))
	s.reaches(r)
	s.grow(2)
	send(1)
	bustest.Eventually(t, "the running sink has written its event", func(context.Context) bool {
		return r.metric("autobus_sink_rows_total", "") == 1
	})
	if err := r.ends(t); err != nil {
		t.Fatal(err)
	}
	s.grow(3)
	send(2)
	r = s.start(s.runner(change))
	bustest.Eventually(t, "the sink that started later has written its event", func(context.Context) bool {
		return r.metric("autobus_sink_rows_total", "") == 1
	})
	if n := r.metric("autobus_sink_retries_total", ""); n > 0 {
		t.Errorf("%v retries", n)
	}
	if err := r.ends(t); err != nil {
		t.Fatal(err)
	}
}

// held is a target that writes no rows until it may.
type held struct {
	sink.Target
	at  chan struct{}
	may chan struct{}
}

func (h *held) Write(ctx context.Context, c *sink.Chunk) (sink.Written, error) {
	if len(c.Rows) > 0 {
		h.at <- struct{}{}
		<-h.may
	}
	return h.Target.Write(ctx, c)
}

// The lag is that of the clock, however long the database takes.
func TestTheLagAgreesWithTheClock(t *testing.T) {
	s := newStand(t)
	h := &held{at: make(chan struct{}), may: make(chan struct{})}
	r := s.start(s.runner(func(c *sink.Config) { h.Target = c.Target; c.Target = h }))
	if _, err := s.log.Write(t.Context(), kafka.Record{TP: kafka.TP{Topic: topic}, Value: []byte(`{"n":1}`)}); err != nil {
		t.Fatal(err)
	}
	s.sent++
	<-h.at
	records, err := s.log.Read(map[kafka.TP]int64{{Topic: topic}: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	read, err := records.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lag := -1.0
	for range 3 { // each time another age
		before := time.Since(read[0].Time).Seconds()
		is := r.metric("autobus_sink_lag_seconds", "")
		if after := time.Since(read[0].Time).Seconds(); is < before || is > after || is <= lag {
			t.Errorf("the lag is %v after %v, and the event's age between %v and %v", is, lag, before, after)
		}
		lag = is
	}
	close(h.may)
	s.reaches(r)
	bustest.Eventually(t, "nothing is behind", func(context.Context) bool {
		return r.metric("autobus_sink_lag_seconds", "") == 0
	})
	if err := r.ends(t); err != nil {
		t.Fatal(err)
	}
}
