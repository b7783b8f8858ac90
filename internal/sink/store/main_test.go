// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/postgres"
	"github.com/autobus-io/autobus/internal/sink/sqlite"
	"github.com/autobus-io/autobus/internal/sink/store"
	"github.com/autobus-io/autobus/spec"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue { // each writes to a disk many times
		_ = f.Value.Set("30")
	}
	goleak.VerifyTestMain(m)
}

// database is one database of a test, empty.
type database struct {
	t      testing.TB
	dsn    string
	reader *store.Store // of query
}

// cases are what has to hold on each kind of database.
func cases() map[string]func(*testing.T, *database) {
	return map[string]func(*testing.T, *database){
		"the_newest_wins_in_any_order":                 theNewestWinsInAnyOrder,
		"a_tombstone_deletes":                          aTombstoneDeletes,
		"the_version_decides":                          theVersionDecides,
		"write_is_one_transaction":                     writeIsOneTransaction,
		"the_database_refuses_single_rows":             theDatabaseRefusesSingleRows,
		"values_that_cannot_be_held":                   valuesThatCannotBeHeld,
		"too_many_bad_rows_write_nothing":              tooManyBadRowsWriteNothing,
		"what_was_set_aside_is_written_after_a_repair": whatWasSetAsideIsWrittenAfterARepair,
		"check_compares_the_database_with_the_plan":    checkComparesTheDatabaseWithThePlan,
		"many_rows_of_which_some_are_there":            manyRowsOfWhichSomeAreThere,
		"a_bad_row_among_new_ones":                     aBadRowAmongNewOnes,
		"a_key_that_was_taken_away":                    aKeyThatWasTakenAway,
		"tables_of_another_file":                       tablesOfAnotherFile,
		"a_rebuild_drops_nothing_of_others":            aRebuildDropsNothingOfOthers,
		"two_rebuilds_at_once":                         twoRebuildsAtOnce,
		"many_positions_move_or_none":                  manyPositionsMoveOrNone,
		"swap":                                         swap,
	}
}

func TestSQLite(t *testing.T) {
	for name, test := range cases() {
		t.Run(name, func(t *testing.T) {
			test(t, &database{t: t, dsn: sqlite.Scheme + filepath.Join(t.TempDir(), "test.db")})
		})
	}
}

func TestPostgres(t *testing.T) {
	server := bustest.Postgres(t)
	for name, test := range cases() {
		t.Run(name, func(t *testing.T) {
			server.Psql(t, "postgres", `CREATE DATABASE "`+name+`"`)
			test(t, &database{t: t, dsn: server.DSN(name)})
		})
	}
}

// open is another process's view of the database.
func (d *database) open() *store.Store {
	d.t.Helper()
	make := postgres.New
	if d.dsn[:len(sqlite.Scheme)] == sqlite.Scheme {
		make = sqlite.New
	}
	s, err := make(d.dsn)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			d.t.Logf("close: %v", err)
		}
		if err := s.End(); err != nil {
			d.t.Errorf("end: %v", err)
		}
	})
	return s
}

// plan makes a plan of a file, whose DSN is filled in. The types are those of the specs of the sink's own tests.
func (d *database) plan(text string) *sink.Plan {
	d.t.Helper()
	p, faults := d.tryPlan(text)
	if faults != nil {
		d.t.Fatal(faults)
	}
	return p
}

func (d *database) tryPlan(text string) (*sink.Plan, error) {
	d.t.Helper()
	f, err := sink.ParseFile("sink.yaml", []byte("dsn: "+d.dsn+"\n"+text), os.LookupEnv)
	if err != nil {
		return nil, err
	}
	files, err := spec.ReadDir("../testdata/specs")
	if err != nil {
		d.t.Fatal(err)
	}
	snapshot, err := spec.Parse(files)
	if err != nil {
		d.t.Fatal(err)
	}
	var sources []sink.Source
	for _, entry := range f.Types {
		typ, _ := snapshot.Type(entry.Type)
		sources = append(sources, sink.Source{Type: entry.Type, Topic: entry.Type, Partitions: 1, Spec: typ})
	}
	p, faults, _ := sink.MakePlan(f, sources)
	if len(faults) > 0 {
		return nil, faults
	}
	return p, nil
}

// ready makes what a plan needs and opens the sink.
func (d *database) ready(s *store.Store, p *sink.Plan) {
	d.t.Helper()
	d.apply(s, p)
	if _, err := s.Open(d.t.Context(), p); err != nil {
		d.t.Fatal(err)
	}
}

func (d *database) apply(s *store.Store, p *sink.Plan) {
	d.t.Helper()
	c, err := s.Check(d.t.Context(), p)
	if err == nil && len(c.Faults) > 0 {
		err = c.Faults
	}
	if err == nil {
		err = s.Apply(d.t.Context(), c.Steps)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// query returns rows with their values as text, in the order that the query gives.
func (d *database) query(text string) (out [][]string) {
	d.t.Helper()
	if d.reader == nil {
		d.reader = d.open()
	}
	rows, err := d.reader.DB().QueryContext(context.Background(), text)
	if err != nil {
		d.t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	for rows.Next() {
		values := make([]any, len(columns))
		texts := make([]string, len(columns))
		for i := range values {
			values[i] = &nullable{&texts[i]}
		}
		if err := rows.Scan(values...); err != nil {
			d.t.Fatal(err)
		}
		out = append(out, texts)
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return out
}
