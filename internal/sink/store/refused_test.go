// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
)

// What a trigger or an index refuses lies in the row too: it is set aside and holds up nothing.
func TestWhatOnlyPostgresRefuses(t *testing.T) {
	d := &database{t: t, dsn: bustest.Postgres(t).DSN("postgres")}
	p := d.plan(logFile)
	s := d.open()
	d.apply(s, p)
	for _, q := range []string{
		`CREATE INDEX notes ON order_log (note)`,
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN IF NEW.note = 'no' THEN RAISE 'not this one'; END IF; RETURN NEW; END $$`,
		`CREATE TRIGGER refuse BEFORE INSERT ON order_log FOR EACH ROW EXECUTE FUNCTION refuse()`,
	} {
		if _, err := s.DB().ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Open(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	var long strings.Builder
	for range 3000 { // that no compression makes short enough for an index
		fmt.Fprintf(&long, "%x", rand.Uint64())
	}
	w := write(t, s, p, record(placed, 0, `{"order_id":"a","note":"no"}`), record(placed, 1, `{"order_id":"b"}`),
		record(placed, 2, `{"order_id":"c","note":"`+long.String()+`"}`), record(placed, 3, `{"order_id":"d"}`))
	if w.Rows != 2 || len(w.Bad) != 2 || w.Bad[0].Bad.State != "P0001" || w.Bad[1].Bad.State != "54000" {
		t.Errorf("%d written, bad %+v", w.Rows, w.Bad)
	}
}

// What would stop a sink later is found by the plan: rights that the user lacks, columns that nobody can write, a key
// that ON CONFLICT cannot go by.
func TestWhatPlansFindInPostgres(t *testing.T) {
	server := bustest.Postgres(t)
	server.Psql(t, "postgres", `
		CREATE TABLE log_a (_topic text, _partition int, _offset bigint, order_id text, quantity bigint, note text,
			price numeric(6,2), data jsonb, PRIMARY KEY (_topic, _partition, _offset));
		CREATE TABLE log_b (LIKE log_a INCLUDING ALL);
		CREATE TABLE log_c (LIKE log_a); ALTER TABLE log_c ADD PRIMARY KEY (_topic, _partition, _offset) DEFERRABLE;
		CREATE TABLE log_d (LIKE log_a INCLUDING ALL);
		ALTER TABLE log_d DROP note, ADD note text GENERATED ALWAYS AS (order_id) STORED;
		CREATE ROLE weak LOGIN; GRANT INSERT ON log_a TO weak; GRANT SELECT ON log_b TO weak`)
	for table, want := range map[string]string{
		"log_a": "",
		"log_b": "the user of the DSN may not INSERT on the table log_b",
		"log_c": "has the primary key ()",
		"log_d": "the column note of the table log_d is generated",
	} {
		d := &database{t: t, dsn: strings.Replace(server.DSN("postgres"), "postgres@", "weak@", 1)}
		if table >= "log_c" {
			d.dsn = server.DSN("postgres")
		}
		_, faults := d.check(d.open(), strings.Replace(logFile, "order_log", table, 1))
		if want == "" && faults != "" || !strings.Contains(faults, want) {
			t.Errorf("%s: %q, want %q", table, faults, want)
		}
	}
}
