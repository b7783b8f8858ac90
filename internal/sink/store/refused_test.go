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
