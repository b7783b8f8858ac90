// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/outbox"
)

// serviceVariable makes the test binary a service on the database that it names.
const serviceVariable = "AUTOBUS_TEST_OUTBOX_SERVICE"

const serviceKeys = 8

// service changes counters and tells of each change, in one transaction, until it is killed.
func service(dsn string) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				_ = serve(dsn) // the database may be away
				<-time.After(50 * time.Millisecond)
			}
		})
	}
	all.Wait()
}

func serve(dsn string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for {
		key := fmt.Sprintf("k%d", rand.IntN(serviceKeys))
		_, err := conn.Exec(ctx, fmt.Sprintf(`BEGIN;
			WITH c AS (UPDATE counters SET n = n + 1 WHERE key = '%[1]s' RETURNING n)
			INSERT INTO autobus_outbox (id, type, key, data)
			SELECT '%[1]s-' || n, '%[2]s', '%[1]s', json_build_object('n', n) FROM c`, key, placed))
		if err != nil {
			return err
		}
		<-time.After(rand.N(4 * time.Millisecond)) // so that some are killed within the transaction
		if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
			return err
		}
	}
}

// program is a process that is killed and started again.
type program struct {
	t    *testing.T
	env  string
	args []string
	cmd  *exec.Cmd
	said bustest.Output
}

func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env = append(os.Environ(), p.env)
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process by SIGKILL, which has to be what it dies of. One that was killed stays so.
func (p *program) kill() {
	p.t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill() // Wait tells if that did not hit
	_ = p.cmd.Wait()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		p.t.Errorf("%v ended by itself: %v\n%s", p.args, p.cmd.ProcessState, p.said.String())
	}
}

// TestKills kills the service, two relays at once, the bus and the database, again and again while all of them work,
// and then holds the log against the table: the rows are the events, each key's in order.
func TestKills(t *testing.T) {
	server := bustest.Postgres(t)
	g := &rig{T: t, server: server, name: "postgres", said: &bustest.Output{}}
	server.Psql(t, g.name, outbox.DefaultTable.DDL()+fmt.Sprintf(`
		-- Who marks rows has to wait while the test holds this lock.
		CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
		CREATE TRIGGER gate BEFORE UPDATE ON autobus_outbox FOR EACH STATEMENT EXECUTE FUNCTION gate();
		CREATE TABLE counters AS SELECT 'k' || k AS key, 0 AS n FROM generate_series(0, %d) k`, serviceKeys-1))
	bin, data, addr := filepath.Join(t.TempDir(), "autobus"), t.TempDir(), freeAddr(t)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/autobus")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	_, port, _ := net.SplitHostPort(addr)
	bus := &program{t: t, args: []string{bin, "dev", "--data", data, "--port", port, "--kafka-port", "0", "--no-demo"}}
	worker := &program{t: t, env: serviceVariable + "=" + server.DSN(g.name), args: []string{os.Args[0]}}
	relays := []*program{{t: t}, {t: t}}
	all := append([]*program{bus, worker}, relays...)
	for _, r := range relays {
		r.args = []string{bin, "outbox", "run", "--dsn", server.DSN(g.name), "--server", "http://" + addr}
	}
	for _, p := range all {
		p.start()
		t.Cleanup(func() {
			p.kill()
			if t.Failed() {
				t.Logf("%v said:\n%s", p.args, p.said.String())
			}
		})
	}

	k := &kills{rig: g, bus: bus, worker: worker, relays: relays, addr: addr}
	k.hit("relay", "service", "relay", "relay", "service", "relay", "relay")
	// Each of the relays had published rows that it did not mark. They came again, and the bus knew their ids.
	if events, again, _ := k.judge("mid"); again > 0 {
		t.Errorf("%d of %d events stand in the log again, while the bus never died", again, events)
	}
	worker.start()
	k.hit("bus", "database", "relay and bus", "service")
	events, again, last := k.judge("end")
	if again == 0 {
		t.Errorf("no event of %d stands in the log again: the bus did not forget anything", events)
	}
	for line := range strings.Lines(k.query("SELECT key || ' ' || n FROM counters")) {
		var key string
		var n int
		if _, err := fmt.Sscan(line, &key, &n); err != nil || n != last[key] || n == 0 {
			t.Errorf("the counter is %q, the last event %d", line, last[key])
		}
	}
	t.Logf("%d events, %d of them again", events, again)
}

// kills is a run that kills.
type kills struct {
	*rig
	bus, worker *program
	relays      []*program
	addr        string
}

// query asks over a connection of its own each time: the database is among what is killed.
func (k *kills) query(sql string) string {
	k.Helper()
	return strings.TrimSpace(k.server.Psql(k.T, k.name, sql))
}

// flow waits until rows are sent.
func (k *kills) flow() {
	k.Helper()
	const sent = "SELECT count(*) FROM autobus_outbox WHERE sent_at IS NOT NULL"
	before, err := strconv.Atoi(k.query(sent))
	if err != nil {
		k.Fatal(err)
	}
	bustest.Eventually(k.T, "rows are sent", func(context.Context) bool {
		now, _ := strconv.Atoi(k.query(sent))
		return now > before+30
	})
}

func (k *kills) hit(victims ...string) {
	k.Helper()
	for _, victim := range victims {
		k.flow()
		switch victim {
		case "relay":
			k.betweenWrittenAndMarked(func(r *program) { r.kill(); r.start() })
		case "relay and bus":
			k.betweenWrittenAndMarked(func(r *program) { r.kill(); k.bus.kill(); r.start(); k.bus.start() })
		case "service":
			k.worker.kill()
			k.worker.start()
		case "bus":
			k.bus.kill()
			k.bus.start()
		case "database":
			k.server.Crash(k.T)
			k.server.Start(k.T)
		}
	}
	k.flow()
}

// betweenWrittenAndMarked calls kill with the relay at work while it waits to mark rows whose events are written, and
// sees to it that they stay unmarked.
func (k *kills) betweenWrittenAndMarked(kill func(*program)) {
	k.Helper()
	ctx := k.Context()
	conn, err := pgx.Connect(ctx, k.server.DSN(k.name))
	if err != nil {
		k.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(1)"); err != nil { // until the connection is closed
		k.Fatal(err)
	}
	var pid, port int
	bustest.Eventually(k.T, "a relay waits to mark rows", func(ctx context.Context) bool {
		err := conn.QueryRow(ctx, `SELECT pid, client_port FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE autobus_outbox SET sent_at%'`).Scan(&pid, &port)
		return err == nil
	})
	i := slices.IndexFunc(k.relays, func(r *program) bool { return hasPort(r.cmd.Process.Pid, port) })
	if i < 0 {
		k.Fatalf("no relay has the connection from port %d", port)
	}
	kill(k.relays[i])
	// The session does not see that its client died before it got the lock; then it would still mark the rows.
	if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend($1, 10000)", pid); err != nil {
		k.Fatal(err)
	}
}

// judge ends the service, waits until all rows are sent, and holds the log against the table: the rows are the events,
// each key's in order. end is the id of a row that it adds as the last one. It gives the number of events, how many of
// them stand there again, and the last number of each key.
func (k *kills) judge(end string) (events, again int, last map[string]int) {
	k.Helper()
	k.worker.kill()
	drained := func() bool { return k.query(unsent) == "0" }
	bustest.Eventually(k.T, "all rows are sent", func(context.Context) bool { return drained() })
	k.query("INSERT INTO autobus_outbox (id, type, data) VALUES ('" + end + "', '" + placed + "', 'null')")
	bustest.Eventually(k.T, "the last row is sent", func(context.Context) bool { return drained() })

	ids := k.log(end)
	seen := map[string]bool{}
	last = map[string]int{}
	for _, id := range ids {
		if seen[id] {
			again++ // whoever got no answer sent it again under its id
			continue
		}
		seen[id] = true
		key, number, numbered := strings.Cut(id, "-")
		n, _ := strconv.Atoi(number)
		if numbered && n != last[key]+1 {
			k.Errorf("of key %s the log has %d behind %d", key, n, last[key])
		}
		last[key] = n
	}
	rows := strings.Fields(k.query("SELECT id FROM autobus_outbox"))
	for _, id := range rows {
		if !seen[id] {
			k.Errorf("the row %s is no event", id)
		}
	}
	if len(rows) != len(seen) {
		k.Errorf("the table has %d rows, the log events of %d ids", len(rows), len(seen))
	}
	return len(ids), again, last
}

// hasPort reports whether a process has a connection from a local port.
func hasPort(pid, port int) bool {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 10 || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			continue
		}
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); to == "socket:["+f[9]+"]" {
				return true
			}
		}
	}
	return false
}

// log gives the ids of all events in the order of the log, up to a last one.
func (k *kills) log(last string) (ids []string) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), bustest.Patience)
	defer cancel()
	url := "http://" + k.addr + "/v1/tail?from=earliest&type=" + placed
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		k.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		var line struct{ Event struct{ ID string } }
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			k.Fatalf("%s: %v", in.Text(), err)
		}
		if line.Event.ID != "" {
			ids = append(ids, line.Event.ID)
		}
		if line.Event.ID == last {
			return ids
		}
	}
	k.Fatalf("the log ends after %d events, without the last", len(ids))
	return nil
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
