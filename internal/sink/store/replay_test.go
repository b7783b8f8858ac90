// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/sink/store"
)

// A row that a running sink deletes while the event of its past is replayed does not come back.
func TestAReplayWaitsForTheSink(t *testing.T) {
	d := &database{t: t, dsn: bustest.Postgres(t).DSN("postgres")}
	p := d.plan(ordersFile)
	s := d.open()
	d.ready(s, p)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.DB().ExecContext(t.Context(), `CREATE UNIQUE INDEX one_note ON orders (note)`))
	if w := write(t, s, p, event{Key: "a", Text: "x"}.record(), event{Key: "b", Offset: 1, Text: "x"}.record()); len(
		w.Bad) != 1 {
		t.Fatalf("%+v", w)
	}
	must(s.DB().ExecContext(t.Context(), `DROP INDEX one_note`))
	tx, err := s.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	must(tx.ExecContext(t.Context(), `UPDATE autobus_sink SET beat = beat + 1`)) // as a sink does that writes
	must(tx.ExecContext(t.Context(), `INSERT INTO autobus_sink_deleted VALUES ('orders', 'b', '9')`))
	done := make(chan error, 1)
	other := d.open()
	go func() {
		_, err := other.Replay(context.Background(), p, func(store.Aside) bool { return true },
			func(store.Aside) []byte { return nil })
		done <- err
	}()
	bustest.Eventually(t, "the replay waits", func(context.Context) bool {
		return d.query(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'`)[0][0] == "1"
	})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	same(t, d.query(`SELECT order_id FROM orders`), [][]string{{"a"}})
}
