// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/relay"
	"github.com/autobus-io/autobus/outbox"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(serviceVariable); dsn != "" {
		service(dsn) // until it is killed
	}
	goleak.VerifyTestMain(m)
}

const (
	placed = "orders.order.placed.v1"
	paid   = "orders.order.paid.v1"
)

// rig is a database of its own with an outbox, and a bus in memory.
type rig struct {
	*testing.T
	server *bustest.PostgresServer
	name   string // of the database
	conn   *pgx.Conn
	bus    *autobustest.Bus
	said   *bustest.Output // the relays' log
}

// TestRelay shares one server, which takes a second to start; each part has the database for itself.
func TestRelay(t *testing.T) {
	server := bustest.Postgres(t)
	for _, part := range []struct {
		name string
		test func(g *rig)
	}{
		{"a row becomes an event", rowBecomesEvent},
		{"bytes and attributes", bytesAndAttributes},
		{"late commits are not overlooked", lateCommits},
		{"order per key under concurrent writers", orderPerKey},
		{"a refused row holds its key", refusedHolds},
		{"a refused row is skipped", refusedSkips},
		{"rows that cannot be sent", unsendable},
		{"what waits holds up nobody", waitingHoldsUpNobody},
		{"a lane that fails keeps its order", failingLaneKeepsOrder},
		{"an unknown outcome is sent again", unknownAgain},
		{"the bus is away", busAway},
		{"two relays", twoRelays},
		{"a lost session hangs up", lostSession},
		{"the end waits for what is in flight", drains},
		{"deleted instead of marked", keepNothing},
		{"sent rows are cleaned up", cleansUp},
		{"bounds of a batch", largeRows},
		{"tables that are none", badTables},
		{"status", status},
	} {
		t.Run(part.name, func(t *testing.T) {
			g := &rig{T: t, server: server, name: "postgres", said: &bustest.Output{}}
			conn, err := pgx.Connect(t.Context(), server.DSN(g.name))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close(context.Background()) })
			g.conn = conn
			g.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC")
			g.sql(outbox.DefaultTable.DDL())
			g.bus = autobustest.New(t)
			part.test(g)
		})
	}
}

// sql runs statements and gives the first value of the last one as text, empty without any.
func (g *rig) sql(text string) string {
	g.Helper()
	results, err := g.conn.PgConn().Exec(g.Context(), text).ReadAll()
	if err != nil {
		g.Fatalf("%s: %v", text, err)
	}
	if last := results[len(results)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}

// insert adds rows of a type and key whose data are numbers.
func (g *rig) insert(typ, key string, numbers ...int) {
	g.Helper()
	for _, n := range numbers {
		g.sql(fmt.Sprintf(`INSERT INTO autobus_outbox (type, key, data) VALUES ('%s', nullif('%s', ''), '{"n": %d}')`,
			typ, key, n))
	}
}

func (g *rig) config(change ...func(*relay.Config)) relay.Config {
	g.Helper()
	database, err := pgx.ParseConfig(g.server.DSN(g.name))
	if err != nil {
		g.Fatal(err)
	}
	cfg := relay.Config{
		Database: database, Keep: time.Hour, Poll: 20 * time.Millisecond,
		Dial:   func() (autobus.Bus, func(), error) { return g.bus, func() {}, nil },
		Logger: slog.New(slog.NewTextHandler(g.said, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

// relay runs a relay until stop, or the end of the test.
func (g *rig) run(change ...func(*relay.Config)) (stop func()) {
	g.Helper()
	r, err := relay.New(g.config(change...))
	if err != nil {
		g.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			g.Errorf("the relay ended with %v", err)
		}
		if g.Failed() {
			g.Logf("the relay's log:\n%s", g.said)
		}
	})
	g.Cleanup(stop)
	return stop
}

// await waits until a query gives a value.
func (g *rig) await(query, want string) {
	g.Helper()
	var got string
	defer func() {
		if got != want {
			g.Logf("%s gave %q, want %q; the relay's log:\n%s", query, got, want, g.said)
		}
	}()
	bustest.Eventually(g.T, query+" = "+want, func(context.Context) bool {
		got = g.sql(query)
		return got == want
	})
}

// Queries of how many rows there are.
const (
	unsent  = "SELECT count(*) FROM autobus_outbox WHERE sent_at IS NULL"
	refused = "SELECT count(*) FROM autobus_outbox WHERE refused_at IS NOT NULL"
)

// numbers gives what was published of a type under a key, in order.
func (g *rig) numbers(typ, key string) string {
	g.Helper()
	var out []string
	for _, e := range g.bus.Published(typ) {
		if k, _ := e.Ext(autobus.ExtPartitionKey); k == key {
			out = append(out, strings.Trim(string(e.Data), `{"n:} `))
		}
	}
	return strings.Join(out, " ")
}

func (g *rig) want(typ, key, numbers string) {
	g.Helper()
	if got := g.numbers(typ, key); got != numbers {
		g.Errorf("of %s and key %q these were published: %s; want %s", typ, key, got, numbers)
	}
}

// of matches the events of a type.
func of(typ string) func(*autobus.Event) bool {
	return func(e *autobus.Event) bool { return e.Type == typ }
}

// with matches the event that has this number.
func with(n int) func(*autobus.Event) bool {
	return func(e *autobus.Event) bool { return string(e.Data) == fmt.Sprintf(`{"n": %d}`, n) }
}
