// SPDX-License-Identifier: Apache-2.0

package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const paid = "orders.order.paid.v1"

// TestTable shares one server, which takes a second to start.
func TestTable(t *testing.T) {
	server := bustest.Postgres(t)
	server.Psql(t, "postgres", outbox.DefaultTable.DDL())
	server.Psql(t, "postgres", "CREATE SCHEMA shop; "+outbox.Table("shop.events").DDL())
	db, err := sql.Open("pgx", server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	t.Run("publish", func(t *testing.T) { publishTx(t, db) })
	t.Run("an id is there once", func(t *testing.T) { idOnce(t, db) })
}

func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() }) // over already where the test went on
	return tx
}

func publishTx(t *testing.T, db *sql.DB) {
	gone := begin(t, db)
	if _, err := outbox.PublishTx(t.Context(), gone, paid, map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	if err := gone.Rollback(); err != nil {
		t.Fatal(err)
	}

	at := time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	tx := begin(t, db)
	e, err := outbox.PublishTx(t.Context(), tx, paid, []byte(`{"total":  1.50, "odd": "\u0000"}`), autobus.WithKey("o-1"),
		autobus.WithSubject("s"), autobus.WithSource("/shop"), autobus.WithTime(at),
		autobus.WithExtension(autobus.ExtCorrelationID, `it's "c"`))
	if err != nil {
		t.Fatal(err)
	}
	// What can never be an event is refused before the database hears of it, so that the transaction can go on.
	for _, c := range []struct {
		typ    string
		data   any
		opts   []autobus.EventOption
		reason autobus.Reason
	}{
		{"a b", nil, nil, autobus.ReasonTypeInvalid},
		{paid, func() {}, nil, autobus.ReasonDataUnreadable},
		{paid, []byte("{"), nil, autobus.ReasonDataUnreadable},
		{paid, []byte("\"\xff\""), nil, autobus.ReasonDataUnreadable},
		{paid, []byte(`"` + strings.Repeat(" ", autobus.MaxEventBytes) + `"`), nil, autobus.ReasonEventTooLarge},
		{paid, nil, []autobus.EventOption{autobus.WithSubject("\x00")}, autobus.ReasonEventInvalid},
		{paid, nil, []autobus.EventOption{autobus.WithKey(strings.Repeat("k", 2000))}, autobus.ReasonKeyTooLarge},
		{paid, nil, []autobus.EventOption{autobus.WithID(strings.Repeat("i", 200))}, autobus.ReasonHeaderTooLarge},
	} {
		_, err := outbox.PublishTx(t.Context(), tx, c.typ, c.data, c.opts...)
		if !errors.Is(err, &autobus.Error{Reason: c.reason}) {
			t.Errorf("%s: %v, want %s", c.typ, err, c.reason)
		}
	}
	bytes, err := autobus.NewEvent(paid, []byte("\x00\xff"), autobus.WithContentType("image/png"))
	if err != nil {
		t.Fatal(err)
	}
	bytes.ID = "" // the database's to give
	if err := outbox.Table("shop.events").PublishTx(t.Context(), tx, bytes); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}

	var id, key, data, source, subject, attributes string
	var when time.Time
	err = db.QueryRowContext(t.Context(), `SELECT id, key, data::text, source, subject, attributes::text, time
		FROM autobus_outbox WHERE type = $1`, paid).Scan(&id, &key, &data, &source, &subject, &attributes, &when)
	if err != nil { // also where there are none: the committed row is the only one
		t.Fatal(err)
	}
	if id != e.ID || key != "o-1" || data != `{"total":  1.50, "odd": "\u0000"}` || source != "/shop" || subject != "s" ||
		attributes != `{"correlationid":"it's \"c\""}` || !when.Equal(at) {
		t.Errorf("the row is %s %s %s %s %s %s %s", id, key, data, source, subject, attributes, when)
	}
	var count int
	err = db.QueryRowContext(t.Context(), "SELECT count(*) FROM autobus_outbox").Scan(&count)
	if err != nil || count != 1 {
		t.Errorf("%d rows, %v; want the one that was committed", count, err)
	}
	var raw []byte
	err = db.QueryRowContext(t.Context(), "SELECT id, data_bytes FROM shop.events WHERE content_type = 'image/png'").
		Scan(&id, &raw)
	if err != nil || len(id) != 36 || string(raw) != "\x00\xff" {
		t.Errorf("the row of bytes is %s %q, %v", id, raw, err)
	}
}

// An id that is there already is the database's error, not the bus's.
func idOnce(t *testing.T, db *sql.DB) {
	for i := range 2 {
		tx := begin(t, db)
		_, err := outbox.PublishTx(t.Context(), tx, paid, nil, autobus.WithID("1"))
		if (err == nil) != (i == 0) {
			t.Fatalf("insert %d: %v", i, err)
		}
		if _, ours := errors.AsType[*autobus.Error](err); ours {
			t.Errorf("the error is %v", err)
		}
		if err := tx.Commit(); (err == nil) != (i == 0) {
			t.Fatal(err)
		}
	}
}

func TestTableNames(t *testing.T) {
	for name, ok := range map[outbox.Table]bool{
		"autobus_outbox": true, "shop.outbox": true, "_a1": true, "": false, "a.b.c": false, "A": false, "1a": false,
		"a;b": false, "a\"b": false, ".a": false, "a.": false, outbox.Table(strings.Repeat("a", 51)): false,
	} {
		if err := name.Check(); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, _, err := outbox.Table("a b").Insert(autobus.Event{Type: paid}); err == nil {
		t.Error("a statement was made for a table that cannot be")
	}
	ddl := strings.ReplaceAll(outbox.Table("shop.events").DDL(), "'autobus_outbox'", "") // the channel's name stays
	if strings.Contains(ddl, "autobus_outbox") || !strings.Contains(ddl, "CREATE INDEX events_pending ON shop.events (") {
		t.Errorf("the table's own name is not everywhere:\n%s", ddl)
	}
}

func ExamplePublishTx() {
	var db *sql.DB // of the service
	pay := func(ctx context.Context, order string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // it fails after the commit, as it should
		if _, err := tx.ExecContext(ctx, `UPDATE orders SET state = 'paid' WHERE id = $1`, order); err != nil {
			return err
		}
		_, err = outbox.PublishTx(ctx, tx, "orders.order.paid.v1", map[string]string{"order_id": order},
			autobus.WithKey(order))
		if err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = pay
}
