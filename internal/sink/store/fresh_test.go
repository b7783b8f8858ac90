// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/sink"
)

// many is more rows than it takes to put them in as new ones.
const many = 400

// batch makes events of orders n to n+many, all of the same moment.
func batch(n, time int, text string) (history []event) {
	for i := range many {
		history = append(history, event{Type: i % 3 / 2, Key: fmt.Sprintf("o-%04d", n+i), Time: time,
			Offset: int64(time*10*many + i), Text: text, Items: []string{text}[:1-i%3/2]})
	}
	return history
}

func records(history []event) (out []*sink.Record) {
	for _, e := range history {
		out = append(out, e.record())
	}
	return out
}

// Whether the rows of a large batch are there, newer, older or deleted already, they end as if all had come one by one.
func manyRowsOfWhichSomeAreThere(t *testing.T, d *database) {
	p := d.plan(ordersFile)
	s := d.open()
	d.ready(s, p)
	var history []event
	for _, b := range [][]event{
		{{Type: 2, Key: "o-0007", Time: 9}, {Type: 2, Key: "o-0008", Time: 1}}, // deleted before anything of them came
		batch(0, 5, "first"),               // all new
		batch(many, 5, "second"),           // all new
		batch(many/2, 7, "newer"),          // all there
		batch(2*many-1, 6, "one is there"), // as are those of the next, which come the careful way
		batch(many/2, 6, "older"),
		{{Type: 2, Key: "o-0300", Time: 8}},
		batch(0, 3, "late"), // with the one that was deleted meanwhile
		batch(4*many, 5, "third"),
	} {
		history = append(history, b...)
		if w := write(t, s, p, records(b)...); w.Rows != len(b) {
			t.Fatalf("wrote %d of %d", w.Rows, len(b))
		}
		orders, items := model(history)
		same(t, d.query(`SELECT order_id, note, reason, status FROM orders`), orders)
		same(t, d.query(`SELECT order_id, _index, sku FROM order_items`), items)
	}
}

// A row that the table refuses is found among new ones too, and only that one is set aside.
func aBadRowAmongNewOnes(t *testing.T, d *database) {
	p := d.plan(ordersFile)
	s := d.open()
	d.apply(s, p)
	if _, err := s.DB().ExecContext(t.Context(), `CREATE UNIQUE INDEX one_note ON orders (note)`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		b := batch(round*many, 5, "")
		for i := range b {
			b[i].Text = b[i].Key
		}
		b[301].Text = b[300].Text
		w := write(t, s, p, records(b)...)
		if w.Rows != many-1 || len(w.Bad) != 1 || !strings.HasPrefix(w.Bad[0].Bad.State, "23") {
			t.Fatalf("%d written, bad %+v", w.Rows, w.Bad)
		}
	}
	if n := d.query(`SELECT count(*) FROM orders`); n[0][0] != fmt.Sprint(3*(many-1)) {
		t.Errorf("%s rows", n[0][0])
	}
}

// Without its primary key a table takes a row twice: the sink stops before it writes anything.
func aKeyThatWasTakenAway(t *testing.T, d *database) {
	p := d.plan(ordersFile)
	s := d.open()
	d.ready(s, p)
	write(t, s, p, records(batch(0, 5, "first"))...)
	for _, q := range []string{`CREATE TABLE other AS SELECT * FROM orders`, `DROP TABLE orders`,
		`ALTER TABLE other RENAME TO orders`} {
		if _, err := s.DB().ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	c := &sink.Chunk{}
	for _, rec := range slices.Backward(records(batch(0, 6, "again"))) {
		row, err := p.Row(rec)
		if err != nil {
			t.Fatal(err)
		}
		c.Rows = append(c.Rows, row)
	}
	if _, err := s.Write(t.Context(), c); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonSinkDrift}) {
		t.Fatalf("a table without its key: %v", err)
	}
}
