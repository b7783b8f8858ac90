// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/store"
)

// nullable scans any value into a text; NULL is -.
type nullable struct{ to *string }

// Scan implements sql.Scanner.
func (n *nullable) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*n.to = "-"
	case []byte:
		*n.to = string(v)
	case time.Time:
		*n.to = v.UTC().Format(time.DateTime)
	default:
		*n.to = fmt.Sprint(v)
	}
	return nil
}

const ordersFile = `
name: orders
table: orders
mode: upsert
key: [order_id]
columns: {order_id: /order_id}
types:
  - type: orders.order.placed.v1
    columns: {note: /note, status: {value: placed}}
    children:
      order_items: {from: /items, columns: {sku: /sku}}
  - type: orders.order.completed.v1
    columns: {reason: /reason, status: {value: completed}}
  - {type: orders.order.cancelled.v1, mode: delete}
`

// event is one event of a history of orders.
type event struct {
	Type   int // placed, completed, cancelled
	Key    string
	Time   int // seconds
	Offset int64
	Text   string
	Items  []string
}

func (e event) record() *sink.Record {
	data := map[string]any{"order_id": e.Key}
	name := []string{"placed", "completed", "cancelled"}[e.Type]
	switch e.Type {
	case 0:
		data["note"] = e.Text
		var items []any
		for _, i := range e.Items {
			items = append(items, map[string]any{"sku": i})
		}
		if items != nil {
			data["items"] = items
		}
	case 1:
		data["reason"] = e.Text
	}
	raw, _ := json.Marshal(data)
	at := time.Unix(1_700_000_000+int64(e.Time), 0).UTC().Format(time.RFC3339)
	return &sink.Record{TP: sink.TP{Topic: "orders.order." + name + ".v1"}, Offset: e.Offset, Value: raw,
		Key:  []byte(e.Key),
		Time: time.Unix(1_800_000_000, 0), Headers: []sink.Header{{Key: "ce_time", Value: []byte(at)}}}
}

// model is what the tables hold after a history: all events one by one, from the oldest to the newest.
func model(history []event) (orders, items [][]string) {
	type row struct {
		note, reason, status string
		items                []string
	}
	rows := map[string]*row{}
	for _, e := range slices.SortedFunc(slices.Values(history), func(a, b event) int {
		if a.Time != b.Time {
			return a.Time - b.Time
		}
		if a.Type != b.Type {
			return a.Type - b.Type
		}
		return int(a.Offset - b.Offset)
	}) {
		if e.Type == 2 {
			delete(rows, e.Key)
			continue
		}
		r := rows[e.Key]
		if r == nil {
			r = &row{note: "-", reason: "-"}
			rows[e.Key] = r
		}
		if e.Type == 0 {
			r.note, r.items, r.status = e.Text, e.Items, "placed"
		} else {
			r.reason, r.status = e.Text, "completed"
		}
	}
	for key, r := range rows {
		orders = append(orders, []string{key, r.note, r.reason, r.status})
		for i, sku := range r.items {
			items = append(items, []string{key, fmt.Sprint(i), sku})
		}
	}
	compare := func(a, b []string) int { return slices.Compare(a, b) }
	slices.SortFunc(orders, compare)
	slices.SortFunc(items, compare)
	return orders, items
}

// Whatever the order and the batches in which events come, the rows are those of the newest.
func theNewestWinsInAnyOrder(t *testing.T, d *database) {
	p := d.plan(ordersFile)
	s := d.open()
	d.ready(s, p)
	rapid.Check(t, func(rt *rapid.T) {
		for _, table := range []string{"orders", "order_items", "autobus_sink_deleted"} {
			if _, err := s.DB().ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
				rt.Fatal(err)
			}
		}
		var history []event
		for i := range rapid.IntRange(1, 30).Draw(rt, "events") {
			history = append(history, event{Type: rapid.SampledFrom([]int{0, 0, 1, 1, 2}).Draw(rt, "type"),
				Key:  rapid.SampledFrom([]string{"a", "b,\"\\", "ключ"}).Draw(rt, "key"),
				Time: rapid.IntRange(0, 6).Draw(rt, "time"), Offset: int64(i), Text: fmt.Sprintf("t\t%d\\n", i),
				Items: rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y\n", "\\."}), 0, 3).Draw(rt, "items")})
		}
		order := rapid.Permutation(history).Draw(rt, "order")
		for len(order) > 0 {
			n := rapid.IntRange(1, len(order)).Draw(rt, "batch")
			c := &sink.Chunk{}
			for _, e := range order[:n] {
				row, err := p.Row(e.record())
				if err != nil || row.Bad != nil {
					rt.Fatalf("%v %v", err, row.Bad)
				}
				c.Rows = append(c.Rows, row)
			}
			if w, err := s.Write(t.Context(), c); err != nil || w.Rows != n {
				rt.Fatalf("wrote %d of %d: %v", w.Rows, n, err)
			}
			order = order[n:]
		}
		orders, items := model(history)
		same(rt, d.query(`SELECT order_id, note, reason, status FROM orders`), orders)
		same(rt, d.query(`SELECT order_id, _index, sku FROM order_items`), items)
	})
}

func same(t rapid.TB, got, want [][]string) {
	t.Helper()
	slices.SortFunc(got, func(a, b []string) int { return slices.Compare(a, b) })
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the rows are\n%q\nwant\n%q", got, want)
	}
}

// write writes rows of records and says what was set aside.
func write(t *testing.T, s *store.Store, p *sink.Plan, records ...*sink.Record) sink.Written {
	t.Helper()
	c := &sink.Chunk{}
	for _, rec := range records {
		row, err := p.Row(rec)
		if err != nil {
			t.Fatal(err)
		}
		c.Rows = append(c.Rows, row)
	}
	w, err := s.Write(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func record(typ string, offset int64, data string) *sink.Record {
	return &sink.Record{TP: sink.TP{Topic: typ}, Offset: offset, Value: []byte(data), Time: time.Unix(1_800_000_000,
		0).UTC()}
}

// An event without data deletes the row that its key names, and late events do not bring it back.
func aTombstoneDeletes(t *testing.T, d *database) {
	p := d.plan(ordersFile)
	s := d.open()
	d.ready(s, p)
	write(t, s, p, event{Key: "a", Time: 1, Text: "x", Items: []string{"i"}}.record(),
		event{Key: "b", Time: 1, Text: "x"}.record())
	gone := event{Key: "a", Time: 3, Offset: 5}.record()
	gone.Value = nil
	write(t, s, p, gone)
	write(t, s, p, event{Key: "a", Time: 2, Offset: 6, Text: "late"}.record())
	same(t, d.query(`SELECT order_id FROM orders`), [][]string{{"b"}})
	if n := len(d.query(`SELECT * FROM order_items`)); n != 0 {
		t.Errorf("%d items are left", n)
	}
	write(t, s, p, event{Key: "a", Time: 4, Offset: 7, Text: "again"}.record())
	same(t, d.query(`SELECT order_id, note FROM orders`), [][]string{{"a", "again"}, {"b", "x"}})
}

// By a version that the data has, time says nothing.
func theVersionDecides(t *testing.T, d *database) {
	p := d.plan(strings.Replace(ordersFile, "key: [order_id]", "key: [order_id]\nversion: /version", 1))
	s := d.open()
	d.ready(s, p)
	const typ = "orders.order.placed.v1"
	write(t, s, p, record(typ, 0, `{"order_id":"a","version":9,"note":"nine"}`))
	write(t, s, p, record(typ, 1, `{"order_id":"a","version":10,"note":"ten"}`),
		record(typ, 2, `{"order_id":"a","version":8,"note":"eight"}`))
	write(t, s, p, record(typ, 3, `{"order_id":"a","version":-1,"note":"minus one"}`))
	same(t, d.query(`SELECT note FROM orders`), [][]string{{"ten"}})
	if w := write(t, s, p, record(typ, 4, `{"order_id":"a","note":"none"}`)); len(w.Bad) != 1 ||
		w.Bad[0].Bad.State != "23502" {
		t.Errorf("an event without a version: %+v", w)
	}
}
