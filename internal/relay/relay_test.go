// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/relay"
)

func rowBecomesEvent(g *rig) {
	// Without a look at the table for an hour, so that only the trigger can have woken the relay.
	g.run(func(c *relay.Config) { c.Poll = time.Hour })
	g.await("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted", "2") // at work, and asleep
	id := g.sql(`INSERT INTO autobus_outbox (type, key, data, subject, source, time)
		VALUES ('` + placed + `', 'o-1', '{"total":  1.50}', 's', '/shop', '2026-01-02T03:04:05Z') RETURNING id`)
	g.await(unsent, "0")
	all := g.bus.Published(placed)
	if len(all) != 1 {
		g.Fatalf("%d events", len(all))
	}
	e := all[0]
	key, _ := e.Ext(autobus.ExtPartitionKey)
	if e.ID != id || key != "o-1" || string(e.Data) != `{"total":  1.50}` || e.Subject != "s" || e.Source != "/shop" ||
		!e.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		g.Errorf("the row of id %s became %+v", id, e)
	}
}

// Without a look at the table for an hour no row is overlooked whose transaction took longer than the relay stays
// awake, and was not asked to tell because the relay was.
func lateCommits(g *rig) {
	g.run(func(c *relay.Config) { c.Poll = time.Hour })
	for n := range 4 {
		g.insert(placed, "a", n) // wakes the relay
		g.sql("BEGIN; INSERT INTO autobus_outbox (type, key) VALUES ('" + placed + "', 'b')")
		g.sql("SELECT pg_sleep(0.3)")
		g.sql("COMMIT")
		g.await(unsent, "0")
	}
}

func bytesAndAttributes(g *rig) {
	g.sql(`INSERT INTO autobus_outbox (type, data_bytes, content_type, attributes, created_at) VALUES ('` + placed + `',
		'\x00ff', 'image/png', '{"dataschema": "http://x/s", "correlationid": "c-1", "number": 7, "flag": true, "no": null}',
		'2026-01-02T03:04:05Z')`)
	g.run()
	g.await(unsent, "0")
	e := g.bus.Published(placed)[0]
	flow, _ := e.Ext(autobus.ExtCorrelationID)
	number, _ := e.Ext("number")
	flag, _ := e.Ext("flag")
	_, no := e.Ext("no")
	if string(e.Data) != "\x00\xff" || e.ContentType != "image/png" || e.DataSchema != "http://x/s" || flow != "c-1" ||
		number != "7" || flag != "true" || no || !e.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		g.Errorf("the row became %+v", e)
	}
}

// Writers change counters and tell of it, as a service does. What they commit is published, what they roll back is
// not, and the events of a counter are in the order of its values.
func orderPerKey(g *rig) {
	const writers, changes, keys = 8, 60, 5
	g.sql(fmt.Sprintf("CREATE TABLE counters AS SELECT 'k' || k AS key, 0 AS n FROM generate_series(0, %d) k", keys-1))
	g.run(func(c *relay.Config) { c.Batch = 7 })
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			conn, err := pgx.Connect(g.Context(), g.server.DSN(g.name))
			if err != nil {
				g.Error(err)
				return
			}
			defer conn.Close(context.Background())
			for i := range changes {
				commit := "COMMIT"
				if i%5 == 4 {
					commit = "ROLLBACK"
				}
				key := fmt.Sprintf("k%d", rand.IntN(keys))
				_, err := conn.Exec(g.Context(), fmt.Sprintf(`BEGIN; WITH c AS (UPDATE counters SET n = n + 1 WHERE key = '%s'
					RETURNING n) INSERT INTO autobus_outbox (type, key, data) SELECT '%s', '%s', json_build_object('n', n) FROM c;
					SELECT pg_sleep(%f); %s`, key, placed, key, rand.Float64()/200, commit))
				if err != nil {
					g.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	all.Wait()
	g.await(unsent, "0")
	total := 0
	for k := range keys {
		key := fmt.Sprintf("k%d", k)
		last, _ := strconv.Atoi(g.sql("SELECT n FROM counters WHERE key = '" + key + "'"))
		var want []string
		for n := range last {
			want = append(want, fmt.Sprintf(`"n" : %d`, n+1))
		}
		var got []string
		for _, e := range g.bus.Published(placed) {
			if v, _ := e.Ext(autobus.ExtPartitionKey); v == key {
				got = append(got, strings.Trim(string(e.Data), "{}"))
			}
		}
		total += len(got)
		if strings.Join(got, ",") != strings.Join(want, ",") {
			g.Errorf("of counter %s, which is at %d, these were published: %v", key, last, got)
		}
	}
	if want := writers * changes * 4 / 5; total != want {
		g.Errorf("%d events, want %d", total, want)
	}
}

func unknownAgain(g *rig) {
	g.insert(placed, "a", 1, 2, 3)
	g.bus.FailPublish(with(1), autobustest.LoseAnswer().Times(2))
	g.run()
	g.await(unsent, "0")
	// The bus of this test forgets what it did not answer, so that it has the event several times: under one id, and
	// before what follows.
	g.want(placed, "a", "1 1 1 2 3")
	all := g.bus.Published(placed)
	if all[0].ID != all[1].ID || all[1].ID != all[2].ID {
		g.Errorf("one row was sent under several ids: %+v", all)
	}
}

func busAway(g *rig) {
	g.bus.FailPublish(of(placed), autobustest.Refuse(autobus.ReasonServerUnreachable).Times(3))
	g.insert(placed, "a", 1)
	g.run()
	g.await(unsent, "0")
	g.want(placed, "a", "1")
	if n := strings.Count(g.said.String(), "the relay waits"); n != 1 {
		g.Errorf("one outage of the bus was told %d times", n)
	}
}

// working finds the lock of the relay that is at work.
const working = "locktype = 'advisory' AND granted AND classid = 1869968482"

// The one that is not at work takes over when the other's session ends, and nothing is published twice.
func twoRelays(g *rig) {
	g.run(func(c *relay.Config) { c.Database.RuntimeParams["application_name"] = "one" })
	g.run(func(c *relay.Config) { c.Database.RuntimeParams["application_name"] = "two" })
	const worker = `SELECT coalesce(max(application_name), '') FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE ` + working
	changed := map[string]bool{}
	for n := range 6 {
		bustest.Eventually(g.T, "a relay is at work", func(context.Context) bool { return g.sql(worker) != "" })
		changed[g.sql(worker)] = true
		g.insert(placed, "a", 2*n+1, 2*n+2)
		if n < 5 {
			g.sql(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE ` + working)
		}
	}
	g.await(unsent, "0")
	g.want(placed, "a", "1 2 3 4 5 6 7 8 9 10 11 12")
	if len(changed) < 2 {
		g.Errorf("only these relays were ever at work: %v", changed)
	}
}

// A relay without its session has lost the lock: it gives up what is in flight before anybody else begins.
func lostSession(g *rig) {
	hung := make(chan struct{})
	inFlight := make(chan struct{})
	bus := &silent{Bus: g.bus, got: inFlight}
	g.run(func(c *relay.Config) {
		first := true
		c.Dial = func() (autobus.Bus, func(), error) {
			if !first {
				return g.bus, func() {}, nil
			}
			first = false
			return bus, func() { close(hung) }, nil
		}
	})
	g.insert(placed, "a", 1)
	<-inFlight
	g.sql(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE ` + working)
	select {
	case <-hung:
	case <-time.After(bustest.Patience):
		g.Fatal("the relay lost its session and still waits for the bus")
	}
	g.await(unsent, "0")
	g.want(placed, "a", "1")
}

// silent is a bus that takes a batch and never answers.
type silent struct {
	autobus.Bus
	got chan struct{}
}

func (s *silent) Publish(context.Context, *autobus.Batch) error {
	close(s.got)
	return nil
}

func drains(g *rig) {
	g.insert(placed, "a", 1, 2)
	seen := make(chan struct{})
	once := sync.OnceFunc(func() { close(seen) })
	slow := autobustest.DelayAnswer(300 * time.Millisecond).Times(2)
	g.bus.FailPublish(func(*autobus.Event) bool { once(); return true }, slow)
	stop := g.run()
	<-seen
	stop()
	if got := g.sql(unsent); got != "0" {
		g.Errorf("the relay ended with %s rows in flight", got)
	}
}

func keepNothing(g *rig) {
	g.insert(placed, "a", 1, 2)
	g.insert(placed, "", 3)
	g.run(func(c *relay.Config) { c.Keep = 0 })
	g.await("SELECT count(*) FROM autobus_outbox", "0")
	g.want(placed, "a", "1 2")
}

func cleansUp(g *rig) {
	// More than the relay looks at in one step, among them what has to stay: young rows, refused ones, waiting ones.
	g.sql(`INSERT INTO autobus_outbox (type, sent_at) SELECT 'x', now() - interval '2 hours' FROM generate_series(1, 5000);
		INSERT INTO autobus_outbox (type, refused_at, reason) VALUES ('x', now() - interval '9 days', 'data_invalid');
		INSERT INTO autobus_outbox (type, sent_at) VALUES ('x', now() - interval '2 hours'), ('x', now())`)
	g.run()
	g.await("SELECT count(*) FROM autobus_outbox", "2")
}

// Rows that are too many bytes for one batch go in several; one that is too large at all is set aside.
func largeRows(g *rig) {
	g.sql(`INSERT INTO autobus_outbox (type, key, data) SELECT '` + placed + `', 'a',
		json_build_object('n', n, 'blank', repeat(' ', 900000)) FROM generate_series(1, 12) n;
		INSERT INTO autobus_outbox (type, key, data) VALUES ('` + placed + `', 'b', to_json(repeat(' ', 1000000)))`)
	g.run(func(c *relay.Config) { c.Batch = 1000 })
	g.await("SELECT count(*) FROM autobus_outbox WHERE sent_at IS NOT NULL", "12")
	g.await("SELECT reason || ' ' || detail FROM autobus_outbox WHERE refused_at IS NOT NULL",
		"event_too_large the data has 1000002 bytes, at most 1000000 are allowed")
	for i, e := range g.bus.Published(placed) {
		if want := fmt.Sprintf(`{"n" : %d,`, i+1); !strings.HasPrefix(string(e.Data), want) {
			g.Fatalf("event %d begins with %.20s, want %s", i, e.Data, want)
		}
	}
}

func badTables(g *rig) {
	g.sql(`CREATE TABLE other (seq bigint, id text, type text, key text); CREATE ROLE nobody LOGIN`)
	for _, c := range []struct {
		change func(*relay.Config)
		reason autobus.Reason
		says   string
	}{
		{func(c *relay.Config) { c.Table = "missing" }, autobus.ReasonOutboxInvalid, "has no table missing"},
		{func(c *relay.Config) { c.Table = "other" }, autobus.ReasonOutboxInvalid, "lacks the columns data, data_bytes,"},
		{func(c *relay.Config) { c.Database.Database = "none" }, autobus.ReasonDatabaseRefused, "(3D000)"},
		{func(c *relay.Config) { c.Database.User = "nobody" }, autobus.ReasonDatabaseRefused, "(42501)"},
	} {
		r, err := relay.New(g.config(c.change))
		if err != nil {
			g.Fatal(err)
		}
		err = r.Run(g.Context())
		if !errors.Is(err, &autobus.Error{Reason: c.reason}) || !strings.Contains(err.Error(), c.says) {
			g.Errorf("got %v, want %s and %q", err, c.reason, c.says)
		}
	}
}

func TestConfig(t *testing.T) {
	database := &pgx.ConnConfig{}
	dial := func() (autobus.Bus, func(), error) { return nil, nil, nil }
	for _, c := range []relay.Config{
		{}, {Database: database}, {Dial: dial},
		{Database: database, Dial: dial, Table: "Robert'); DROP TABLE"},
		{Database: database, Dial: dial, OnRefused: "cry"},
		{Database: database, Dial: dial, Batch: 1001},
		{Database: database, Dial: dial, Batch: -1},
		{Database: database, Dial: dial, Keep: -1},
	} {
		if _, err := relay.New(c); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonConfigInvalid}) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := relay.New(relay.Config{Database: database, Dial: dial}); err != nil {
		t.Error(err)
	}
}
