// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/postgres"
	"github.com/autobus-io/autobus/internal/sink/store"
)

func (d *database) check(s *store.Store, file string) (steps, faults string) {
	d.t.Helper()
	p, err := d.tryPlan(file)
	if err != nil {
		return "", err.Error()
	}
	c, err := s.Check(d.t.Context(), p)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, st := range c.Steps {
		steps += st.SQL + "\n"
	}
	return steps, c.Faults.Error()
}

// A plan that was applied needs nothing more; what changes afterwards is a step or a fault, and a fault has no step.
func checkComparesTheDatabaseWithThePlan(t *testing.T, d *database) {
	s := d.open()
	d.apply(s, d.plan(ordersFile))
	d.apply(s, d.plan(logFile))
	for _, table := range []string{"CREATE TABLE other (order_id text)", "CREATE TABLE strange (_topic text NOT NULL, " +
		"_partition integer NOT NULL, _offset bigint NOT NULL, order_id jsonb, must text NOT NULL, PRIMARY KEY (_topic, " +
		"_partition, _offset))"} {
		if _, err := s.DB().ExecContext(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ file, step, fault string }{
		"unchanged": {logFile, "", ""},
		"new column": {strings.Replace(logFile, "note: /note", "note: /note, express: /express", 1),
			`ADD COLUMN "express" boolean`, ""},
		"narrower column": {strings.Replace(logFile, "type: bigint", "type: numeric", 1), "wider", ""},
		"another column": {strings.Replace(logFile, "note: /note", "note: {from: /free, type: bigint}", 1), "",
			"the column note of the table order_log is text, the sink needs bigint"},
		"table without key": {strings.Replace(strings.Replace(logFile, "order_log", "other", 1), "name: log", "name: l2",
			1), "", "has the primary key ()"},
		"table of its own": {strings.Replace(strings.Replace(logFile, "order_log", "strange", 1), "name: log", "name: l2",
			1), "", "the column must of the table strange must not be empty"},
		"name taken": {strings.Replace(logFile, "table: order_log", "table: elsewhere", 1), "",
			"another sink of the name log fills the table order_log"},
		"table taken": {strings.Replace(logFile, "name: log", "name: log2", 1), "",
			"the sink log fills the table order_log already"},
		"child taken": {strings.NewReplacer("order_log", "order_items", "name: log", "name: log2").Replace(logFile), "",
			"the sink orders fills the table order_items already"},
		"schema": {strings.NewReplacer("order_log", "reports.log", "name: log", "name: log2").Replace(logFile),
			`CREATE SCHEMA "reports"`, "has no schemas, which the table reports.log names one of"},
		"versions by type": {strings.Replace(ordersFile, "reason: /reason, status: {value: completed}", "reason: /reason",
			1), "", "has changed for status"},
		"versions by number": {strings.Replace(ordersFile, "key: [order_id]", "key: [order_id]\nversion: /version", 1), "",
			"has changed for all columns"},
	} {
		steps, faults := d.check(s, c.file)
		if c.step == "wider" { // SQLite's columns take what comes
			c.step = `ALTER COLUMN "quantity" TYPE numeric`
			if !strings.HasPrefix(d.dsn, postgres.Scheme) {
				c.step = ""
			}
		}
		if name == "schema" && strings.HasPrefix(d.dsn, postgres.Scheme) { // SQLite has none
			c.fault = ""
		} else if name == "schema" {
			c.step = ""
		}
		if c.fault != "" && !strings.Contains(faults, c.fault) || c.fault == "" && faults != "" ||
			c.step != "" && !strings.Contains(steps, c.step) || c.step == "" && c.fault == "" && steps != "" {
			t.Errorf("%s: steps %q, faults %q", name, steps, faults)
		}
	}
}

// builtFile is a sink of the tables that a rebuild fills.
var builtFile = strings.NewReplacer("name: orders", "name: orders2", "table: orders", "table: orders_fresh",
	"order_items", "order_items_fresh").Replace(ordersFile)

// The new tables take the place of the live ones with rows, positions, indexes and rights at once.
func swap(t *testing.T, d *database) {
	live, built := d.plan(ordersFile), d.plan(builtFile)
	s := d.open()
	d.ready(s, live)
	write(t, s, live, event{Key: "a", Time: 1, Text: "old", Items: []string{"i"}}.record())
	statements := []string{`CREATE INDEX orders_by_note ON orders (note)`}
	if strings.HasPrefix(d.dsn, postgres.Scheme) {
		statements = append(statements, `CREATE ROLE report`, `GRANT SELECT ON orders TO report`)
	}
	for _, q := range statements {
		if _, err := s.DB().ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	builder := d.open()
	for range 2 { // what one left behind that was broken off is no obstacle
		if err := builder.Prepare(t.Context(), live, built); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := builder.Open(t.Context(), built); err != nil {
		t.Fatal(err)
	}
	write(t, builder, built, event{Key: "a", Time: 1, Text: "new", Items: []string{"j"}}.record(), event{Key: "b",
		Text: "new"}.record())
	same(t, d.query(`SELECT order_id, note FROM orders`), [][]string{{"a", "old"}})
	if err := builder.Swap(t.Context(), live, built); err == nil {
		t.Fatal("swapped under the hands of the live sink")
	}
	if err := builder.Hold(t.Context(), live.Name); err != nil {
		t.Fatal(err)
	}
	if err := builder.Swap(t.Context(), live, built); err != nil {
		t.Fatal(err)
	}
	same(t, d.query(`SELECT order_id, note FROM orders`), [][]string{{"a", "new"}, {"b", "new"}})
	same(t, d.query(`SELECT order_id, sku FROM order_items`), [][]string{{"a", "j"}})
	if steps, faults := d.check(d.open(), ordersFile); steps != "" || faults != "" {
		t.Errorf("after the swap: steps %q, faults %q", steps, faults)
	}
	if strings.HasPrefix(d.dsn, postgres.Scheme) {
		same(t, d.query(`SELECT has_table_privilege('report', 'orders', 'SELECT'), count(*) FROM pg_indexes WHERE `+
			`tablename = 'orders' GROUP BY 1`), [][]string{{"true", "2"}})
	} else {
		same(t, d.query(`SELECT count(*) FROM sqlite_master WHERE name = 'orders_by_note'`), [][]string{{"1"}})
	}
}

// A process that read its file before a rebuild by another one does not go on as if nothing had been.
func tablesOfAnotherFile(t *testing.T, d *database) {
	old := d.plan(ordersFile)
	other := d.plan(strings.Replace(ordersFile, "{note: /note,", "{note: /note, total: /total,", 1))
	s := d.open()
	d.ready(s, old)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refuses := func() {
		t.Helper()
		if _, err := s.Open(t.Context(), old); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonSinkInvalid}) {
			t.Errorf("a process of another file: %v", err)
		}
	}
	d.apply(s, other)
	refuses()
	if _, err := s.Open(t.Context(), other); err != nil {
		t.Errorf("the process of that file: %v", err)
	}
	if _, err := s.DB().ExecContext(t.Context(), `DELETE FROM autobus_sink`); err != nil {
		t.Fatal(err)
	}
	refuses()
}

// A table that has the name which a rebuild would use, and is none of a rebuild, stays.
func aRebuildDropsNothingOfOthers(t *testing.T, d *database) {
	live, built := d.plan(ordersFile), d.plan(builtFile)
	s := d.open()
	d.ready(s, live)
	if _, err := s.DB().ExecContext(t.Context(), `CREATE TABLE order_items_fresh (mine text)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context(), live, built); err == nil ||
		!strings.Contains(err.Error(), "there is a table order_items_fresh already") {
		t.Errorf("%v", err)
	}
	if n := len(d.query(`SELECT mine FROM order_items_fresh`)); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// Two rebuilds at once do not pull the tables from under each other; the one that comes too late changes nothing.
func twoRebuildsAtOnce(t *testing.T, d *database) {
	live, built := d.plan(ordersFile), d.plan(builtFile)
	s := d.open()
	d.ready(s, live)
	write(t, s, live, event{Key: "a", Time: 1, Text: "old"}.record())
	first, second := d.open(), d.open()
	if err := first.Prepare(t.Context(), live, built); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Open(t.Context(), built); err != nil {
		t.Fatal(err)
	}
	write(t, first, built, event{Key: "a", Time: 1, Text: "new"}.record())
	if err := second.Prepare(t.Context(), live, built); err == nil ||
		!strings.Contains(err.Error(), "another rebuild fills orders_fresh already") {
		t.Errorf("the second: %v", err)
	}
	same(t, d.query(`SELECT note FROM orders_fresh`), [][]string{{"new"}})

	// The first one stands still for so long that its lease runs out.
	if _, err := s.DB().ExecContext(t.Context(), `UPDATE autobus_sink SET beat = 0 WHERE name = 'orders2'`); err != nil {
		t.Fatal(err)
	}
	if err := second.Prepare(t.Context(), live, built); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Open(t.Context(), built); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Write(t.Context(), &sink.Chunk{}); !errors.Is(err, sink.ErrBusy) {
		t.Errorf("the first one's write: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Hold(t.Context(), live.Name); err != nil {
		t.Fatal(err)
	}
	if err := first.Swap(t.Context(), live, built); !errors.Is(err, sink.ErrBusy) {
		t.Errorf("the first one's swap: %v", err)
	}
	same(t, d.query(`SELECT note FROM orders`), [][]string{{"old"}})
	if err := second.Hold(t.Context(), live.Name); err != nil {
		t.Fatal(err)
	}
	if err := second.Swap(t.Context(), live, built); err != nil {
		t.Errorf("the second one's swap: %v", err)
	}
	same(t, d.query(`SELECT note FROM orders`), nil)
}
