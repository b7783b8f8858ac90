// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/store"
)

const logFile = `
name: log
table: order_log
lease: 1m
columns: {order_id: /order_id, quantity: {from: /free, type: bigint}, note: /note, price: {from: /total,
	type: "numeric(6,2)"}, data: {meta: data}}
types: [orders.order.placed.v1]
`

const placed = "orders.order.placed.v1"

func at(n int64) map[sink.TP]int64 { return map[sink.TP]int64{{Topic: placed}: n} }

// Rows, bad rows and position come together or not at all, and a process that lost the sink writes nothing.
func writeIsOneTransaction(t *testing.T, d *database) {
	p := d.plan(logFile)
	s := d.open()
	d.ready(s, p)
	chunk := func(from int64, data ...string) *sink.Chunk {
		c := &sink.Chunk{From: at(from), To: at(from + int64(len(data)))}
		for i, text := range data {
			row, err := p.Row(record(placed, from+int64(i), text))
			if err != nil {
				t.Fatal(err)
			}
			c.Rows = append(c.Rows, row)
		}
		return c
	}
	if _, err := s.Write(t.Context(), &sink.Chunk{Begin: map[sink.TP]sink.Position{{Topic: placed}: {TopicID: "1",
		Next: 0}}}); err != nil {
		t.Fatal(err)
	}
	w, err := s.Write(t.Context(), chunk(0, `{"order_id":"a"}`, `{"order_id":"b","free":9223372036854775808}`,
		`{"order_id":"c"}`))
	if err != nil || w.Rows != 2 || len(w.Bad) != 1 {
		t.Fatalf("%+v, %v", w, err)
	}
	// The same rows once more, as somebody would write who does not know that they are there.
	if _, err := s.Write(t.Context(), chunk(0, `{"order_id":"x"}`)); !errors.Is(err, sink.ErrBusy) {
		t.Fatalf("a position that moved: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	positions, err := s.Open(t.Context(), p)
	if err != nil || positions[sink.TP{Topic: placed}] != (sink.Position{TopicID: "1", Next: 3}) {
		t.Fatalf("positions %v, %v", positions, err)
	}
	other := d.open()
	if _, err := other.Open(t.Context(), p); !errors.Is(err, sink.ErrBusy) {
		t.Fatalf("a second process: %v", err)
	}
	if err := other.Hold(t.Context(), p.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), chunk(3, `{"order_id":"d"}`)); !errors.Is(err, sink.ErrBusy) {
		t.Fatalf("the first process, which lost the sink: %v", err)
	}
	same(t, d.query(`SELECT order_id, _offset FROM order_log`), [][]string{{"a", "0"}, {"c", "2"}})
	same(t, d.query(`SELECT record_offset, sqlstate FROM autobus_sink_error`), [][]string{{"1", "22003"}})
}

// A sink may read more partitions than a statement takes at once.
func manyPositionsMoveOrNone(t *testing.T, d *database) {
	p := d.plan(logFile)
	s := d.open()
	d.ready(s, p)
	const partitions = 2500
	begin, from, to := map[sink.TP]sink.Position{}, map[sink.TP]int64{}, map[sink.TP]int64{}
	for n := range int32(partitions) {
		tp := sink.TP{Topic: placed, Partition: n}
		begin[tp], from[tp], to[tp] = sink.Position{TopicID: "1", Next: 7}, 7, 9
	}
	for _, c := range []*sink.Chunk{{Begin: begin}, {From: from, To: to}} {
		if _, err := s.Write(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for tp := range from {
		from[tp], to[tp] = 9, 11
	}
	from[sink.TP{Topic: placed, Partition: 1234}] = 8
	if _, err := s.Write(t.Context(), &sink.Chunk{From: from, To: to}); !errors.Is(err, sink.ErrBusy) {
		t.Fatalf("a position that moved: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, d.query(`SELECT next_offset, count(*) FROM autobus_sink_offset GROUP BY 1`),
		[][]string{{"9", fmt.Sprint(partitions)}})
}

// What only the database finds, such as a constraint of its own, is found by bisection; the rest of the batch lands.
func theDatabaseRefusesSingleRows(t *testing.T, d *database) {
	p := d.plan(logFile)
	s := d.open()
	d.apply(s, p)
	if _, err := s.DB().ExecContext(t.Context(), `CREATE UNIQUE INDEX one_note ON order_log (note)`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	var records []*sink.Record
	for i := range int64(100) {
		records = append(records, record(placed, i, fmt.Sprintf(`{"order_id":"o","note":"n%d"}`, i%97)))
	}
	w := write(t, s, p, records...)
	if w.Rows != 97 || len(w.Bad) != 3 || !strings.HasPrefix(w.Bad[0].Bad.State, "23") {
		t.Fatalf("%d written, %d bad", w.Rows, len(w.Bad))
	}
	if n := d.query(`SELECT count(*) FROM order_log`); n[0][0] != "97" {
		t.Errorf("%s rows", n[0][0])
	}
}

// Values that no database can hold, or would change, are set aside; so is data that is no JSON. Nothing stops.
func valuesThatCannotBeHeld(t *testing.T, d *database) {
	p := d.plan(strings.Replace(logFile, "data: {meta: data}", "placed_at: /placed_at, data: {meta: data}", 1))
	s := d.open()
	d.ready(s, p)
	want := map[string]string{
		`{"order_id":"a\u0000"}`:                              "22021",
		`{"order_id":"a","x":"\u0000"}`:                       "22P05",
		`{"order_id":"\ud800"}`:                               "22032",
		`{"order_id":"a","order_id":"b"}`:                     "22032",
		`{"order_id":"a","total":NaN}`:                        "22032",
		`{"order_id":"a","total":"NaN"}`:                      "22P02",
		`{"order_id":"a","total":12345.678}`:                  "22003",
		`{"order_id":"a","placed_at":"0000-01-01T00:00:00Z"}`: "22008",
		`{"order_id":"a","placed_at":"yesterday"}`:            "22007",
		`not JSON`: "22032",
	}
	var offset int64
	for data, state := range want {
		w := write(t, s, p, record(placed, offset, data), record(placed, offset+1, `{"order_id":"good"}`))
		if w.Rows != 1 || len(w.Bad) != 1 || w.Bad[0].Bad.State != state {
			t.Errorf("%s: %d written, bad %+v", data, w.Rows, w.Bad)
		}
		offset += 2
	}
	if got := len(d.query(`SELECT order_id FROM order_log WHERE order_id = 'good'`)); got != len(want) {
		t.Errorf("%d good rows", got)
	}
	if got := d.query(`SELECT count(*) FROM autobus_sink_error`); got[0][0] != fmt.Sprint(len(want)) {
		t.Errorf("%s rows set aside", got[0][0])
	}
}

func tooManyBadRowsWriteNothing(t *testing.T, d *database) {
	p := d.plan(logFile)
	s := d.open()
	d.ready(s, p)
	c := &sink.Chunk{}
	for i := range int64(40) {
		row, _ := p.Row(record(placed, i, fmt.Sprintf(`{"order_id":"o","total":%d}`, 9990+i)))
		c.Rows = append(c.Rows, row)
	}
	_, err := s.Write(t.Context(), c)
	many, ok := errors.AsType[*sink.TooManyBad](err)
	if !ok || many.Bad < 10 || many.Example.State != "22003" {
		t.Fatalf("%v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := d.query(`SELECT (SELECT count(*) FROM order_log) + (SELECT count(*) FROM ` +
		`autobus_sink_error)`); got[0][0] != "0" {
		t.Errorf("%s rows were written", got[0][0])
	}
}

func whatWasSetAsideIsWrittenAfterARepair(t *testing.T, d *database) {
	p := d.plan(logFile)
	s := d.open()
	d.ready(s, p)
	write(t, s, p, record(placed, 0, `{"order_id":"a","total":12345}`), record(placed, 1,
		`{"order_id":"b","total":1.005}`))
	wider := d.plan(strings.Replace(logFile, "numeric(6,2)", "numeric(9,3)", 1))
	all, keep := func(store.Aside) bool { return true }, func(store.Aside) []byte { return nil }
	if w, err := s.Replay(t.Context(), p, all, keep); err != nil || w.Rows != 0 || len(w.Bad) != 2 {
		t.Fatalf("without a repair: %+v, %v", w, err)
	}
	d.apply(s, wider)
	w, err := s.Replay(t.Context(), wider, func(a store.Aside) bool { return a.Offset == 0 }, keep)
	if err != nil || w.Rows != 1 {
		t.Fatalf("with a wider column: %+v, %v", w, err)
	}
	if w, err = s.Replay(t.Context(), wider, all,
		func(store.Aside) []byte { return []byte(`{"order_id":"b2"}`) }); err != nil || w.Rows != 1 {
		t.Fatalf("with other data: %+v, %v", w, err)
	}
	same(t, d.query(`SELECT order_id, _offset FROM order_log`), [][]string{{"a", "0"}, {"b2", "1"}})
	if left, err := s.Asides(t.Context(), p.Name, 0); err != nil || len(left) != 0 {
		t.Errorf("%d are left, %v", len(left), err)
	}
}

// A database that is away is no fault of rows, and says where it was looked for without the password.
func TestADatabaseThatIsAway(t *testing.T) {
	d := &database{t: t, dsn: "postgres://me:secret@127.0.0.1:1/x"}
	_, err := d.open().Check(t.Context(), d.plan(logFile))
	if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonDatabaseUnreachable}) || strings.Contains(err.Error(),
		"secret") {
		t.Errorf("%v", err)
	}
}
