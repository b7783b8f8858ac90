// SPDX-License-Identifier: Apache-2.0

// Package sink_test breaks sinks the hard way: the program in processes of their own, killed without notice, on a real
// PostgreSQL that crashes too. It judges by the tables alone.
package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/internal/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	rounds = 8 // five kills, two ends of PostgreSQL, a process that stands still
	perRun = 1500
	keys   = 200
)

const typ = "orders.order.placed.v1"

const specFile = `asyncapi: 3.1.0
info: {title: orders.order.placed, version: 1.0.0, description: An order was placed.}
channels:
  placed:
    address: orders.order.placed.v1
    messages: {placed: {$ref: '#/components/messages/placed'}}
    bindings: {kafka: {partitions: 4, replicas: 1, bindingVersion: 0.5.0}}
components:
  messages:
    placed:
      bindings: {kafka: {key: {type: string, x-from: /order}, bindingVersion: 0.5.0}}
      payload:
        type: object
        required: [order, n]
        properties:
          order: {type: string, maxLength: 40}
          n: {type: integer, minimum: 0, maximum: 1000000}
          poison: {type: number}
`

const sinks = `name: %[1]s
dsn: %[2]s
table: order_%[1]s
mode: %[1]s
lease: 1s
%[3]s
batch: {rows: 100}
columns: {order_id: /order, n: /n, small: {from: /poison, type: "numeric(3,0)"}}
types: [orders.order.placed.v1]
`

// stand is the bus, the database, and the processes of the sink.
type stand struct {
	t      *testing.T
	bin    string
	dir    string
	server string
	kafka  string
	pg     *bustest.PostgresServer
	sent   int
	bad    int
}

func newStand(t *testing.T) *stand {
	s := &stand{t: t, dir: t.TempDir(), pg: bustest.Postgres(t)}
	s.bin = filepath.Join(s.dir, "autobus")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin,
		"../../cmd/autobus").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s.file("specs/placed.yaml", specFile)
	s.file("append.yaml", fmt.Sprintf(sinks, "append", s.pg.DSN("postgres"), ""))
	s.file("upsert.yaml", fmt.Sprintf(sinks, "upsert", s.pg.DSN("postgres"), "key: [order_id]\nversion: /n"))
	dev := s.start("dev", "--port", "0", "--kafka-port", "0", "--no-demo", "--ephemeral", "--specs", "specs", "-o", "json")
	var banner struct{ API, Kafka string }
	bustest.Eventually(t, "the bus says where it is", func(context.Context) bool {
		for l := range dev.lines() {
			if json.Unmarshal([]byte(l), &banner) == nil && banner.Kafka != "" {
				return true
			}
		}
		return false
	})
	s.server, s.kafka = banner.API, banner.Kafka
	s.run("sink", "plan", "append.yaml", "upsert.yaml", "--apply", "--kafka", s.kafka)
	return s
}

func (s *stand) file(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stand) run(args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.bin, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "AUTOBUS_SERVER="+s.server)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("autobus %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// publish sends events, and waits until all of them are acknowledged. One in 500 fits no table.
func (s *stand) publish() {
	s.t.Helper()
	var in bytes.Buffer
	for range perRun {
		poison := ""
		if s.sent%500 == 250 {
			s.bad++
			poison = `,"poison":1000`
		}
		fmt.Fprintf(&in, `{"order":"o-%d","n":%d%s}`+"\n", s.sent%keys, s.sent, poison)
		s.sent++
	}
	cmd := exec.CommandContext(s.t.Context(), s.bin, "publish", typ, "--ndjson", "-q")
	cmd.Env = append(os.Environ(), "AUTOBUS_SERVER="+s.server)
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Errorf("publish: %v\n%s", err, out)
	}
}

// number asks the database; -1 while it does not answer.
func (s *stand) number(ctx context.Context, sql string) int {
	out, err := exec.CommandContext(ctx, "psql", "-X", "-q", "-A", "-t", "-d", s.pg.DSN("postgres"), "-c", sql).Output()
	n, errN := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || errN != nil {
		return -1
	}
	return n
}

const written = `SELECT (SELECT count(*) FROM order_append) + (SELECT count(*) FROM autobus_sink_error WHERE sink ` +
	`= 'append')`

// T28: two processes of one sink, the one that writes is killed in the middle of its work, five times, and PostgreSQL
// ends twice, once by a crash; in the end the one that writes stands still, and awakes when another has its place.
// Afterwards every event is in the table once, or set aside once, and the rows of an upsert are those of the newest
// events.
func TestKilledSinksWriteEveryEventOnce(t *testing.T) {
	s := newStand(t)
	sink := func() *process {
		return s.start("sink", "run", "append.yaml", "upsert.yaml", "--kafka", s.kafka, "--listen", "127.0.0.1:0")
	}
	pair := []*process{sink(), sink()}
	kills := 0
	var frozen *process
	for round := range rounds {
		for _, p := range pair { // one that still makes its plans ends when the database does
			p.address(t)
		}
		before := s.number(t.Context(), written)
		published := make(chan struct{})
		go func() { defer close(published); s.publish() }()
		writer := -1
		bustest.Eventually(t, "one of the sinks is in the middle of its work", func(ctx context.Context) bool {
			for i, p := range pair {
				if p.state("append") == "writing" {
					writer = i
				}
			}
			return writer >= 0 && s.number(ctx, written) > before
		})
		switch round {
		case 2:
			s.pg.Crash(t)
			s.pg.Start(t)
		case 5:
			s.pg.Stop(t)
			s.pg.Start(t)
		case 7:
			<-published
			s.caughtUp() // else the other sink may still be on its way to another process
			frozen = pair[writer]
			s.freeze(frozen)
			pair[writer] = sink()
		default:
			select {
			case <-pair[writer].ended:
				t.Fatalf("the sink ended by itself:\n%s", &pair[writer].said)
			default:
			}
			pair[writer].end(syscall.SIGKILL)
			kills++
			pair[writer] = sink()
		}
		<-published
	}
	if kills != 5 {
		t.Fatalf("%d kills: the run is void", kills)
	}
	s.caughtUp()
	s.thaw(frozen)
	for _, c := range []struct {
		what, sql string
		want      int
	}{
		{"rows and events set aside", written, s.sent},
		{"numbers", `SELECT count(DISTINCT n) FROM order_append`, s.sent - s.bad},
		{"events set aside, each once", `SELECT count(DISTINCT (topic, partition, record_offset)) FROM ` +
			`autobus_sink_error WHERE sink = 'append'`, s.bad},
		{"places", `SELECT count(DISTINCT (_partition, _offset)) FROM order_append`, s.sent - s.bad},
		{"keys", `SELECT count(*) FROM order_upsert`, keys},
		{"rows that are not the newest", `SELECT count(*) FROM order_upsert u JOIN (SELECT order_id, max(n) AS n FROM ` +
			`order_append GROUP BY 1) a USING (order_id) WHERE a.n <> u.n`, 0},
	} {
		if got := s.number(t.Context(), c.sql); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	var status struct {
		Behind int  `json:"behind"`
		Aside  int  `json:"set_aside"`
		Writes bool `json:"writing"`
	}
	if err := json.Unmarshal([]byte(s.run("sink", "status", "append.yaml", "--kafka", s.kafka, "-o", "json")),
		&status); err != nil {
		t.Fatal(err)
	}
	if status.Behind != 0 || status.Aside != s.bad || !status.Writes {
		t.Errorf("the status is %+v", status)
	}
	s.watched(pair)
}

func (s *stand) caughtUp() {
	s.t.Helper()
	bustest.Eventually(s.t, "both sinks have everything", func(ctx context.Context) bool {
		return s.number(ctx, `SELECT sum(next_offset) FROM autobus_sink_offset`) == 2*s.sent
	})
}

// freeze stops a process while it writes rows: with its transaction open and the sink's row locked.
func (s *stand) freeze(p *process) {
	s.t.Helper()
	lock := exec.CommandContext(s.t.Context(), "psql", "-X", "-q", "-A", "-t", "-d", s.pg.DSN("postgres"))
	in, err := lock.StdinPipe()
	if err == nil {
		err = lock.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintln(in, "BEGIN; LOCK TABLE autobus_sink_offset;")
	bustest.Eventually(s.t, "the table of positions is locked", func(ctx context.Context) bool {
		return s.number(ctx, `SELECT count(*) FROM pg_locks WHERE relation = 'autobus_sink_offset'::regclass AND granted `+
			`AND mode = 'AccessExclusiveLock'`) == 1
	})
	s.publish()
	const writers = `SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%UPDATE autobus_sink_offset%' AND `
	bustest.Eventually(s.t, "both sinks wait to move positions", func(ctx context.Context) bool {
		return s.number(ctx, writers+`wait_event_type = 'Lock'`) == 2
	})
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	bustest.Eventually(s.t, "each of its threads stands still", func(context.Context) bool { return p.stands() })
	_ = in.Close() // which ends the lock
	if err := lock.Wait(); err != nil {
		s.t.Error(err)
	}
	bustest.Eventually(s.t, "the sink's transaction is open and waits for the process", func(ctx context.Context) bool {
		return s.number(ctx, writers+`state = 'idle in transaction'`) > 0
	})
}

// thaw lets a process go on that another one has replaced. It thinks that it writes.
func (s *stand) thaw(p *process) {
	s.t.Helper()
	before := len(p.said.String())
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		s.t.Fatal(err)
	}
	bustest.Eventually(s.t, "the process that stood still finds that it writes no more", func(context.Context) bool {
		return strings.Contains(p.said.String()[before:], "msg=sink sink=append state=")
	})
}

// watched holds what the processes show against what they did: both are alive and in the end ready, the one that stands
// by too; one writes, and counts what it wrote.
func (s *stand) watched(pair []*process) {
	s.t.Helper()
	for _, p := range pair {
		if body := p.get(s.t, "/livez"); body != "ok\n" {
			s.t.Errorf("/livez: %s", body)
		}
		bustest.Eventually(s.t, "the process is ready", func(context.Context) bool { return p.get(s.t, "/readyz") == "ok\n" })
	}
	s.publish()
	bustest.Eventually(s.t, "one process tells of its rows, and that nothing is behind", func(context.Context) bool {
		writes := 0
		for _, p := range pair {
			metrics := p.get(s.t, "/metrics")
			if strings.Contains(metrics, "\nautobus_sink_state{sink=\"append\",state=\"writing\"} 1\n") &&
				strings.Contains(metrics, "\nautobus_sink_rows_total{sink=\"append\"} ") &&
				strings.Contains(metrics, "\nautobus_sink_lag_seconds{sink=\"append\"} 0\n") {
				writes++
			}
		}
		return writes == 1
	})
}
