// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"os"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/spec"
)

// snapshotOf reads the specs that the tests of sinks share.
func snapshotOf(t testing.TB) *spec.Snapshot {
	t.Helper()
	files, err := spec.ReadDir("testdata/specs")
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// planOf plans a file whose types are all among the specs.
func planOf(t testing.TB, text string) (*Plan, spec.Problems, spec.Problems) {
	t.Helper()
	f, err := ParseFile("sink.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		return nil, err.(spec.Problems), nil //nolint:errorlint,forcetypeassert // that is what it returns
	}
	s := snapshotOf(t)
	var sources []Source
	for _, entry := range f.Types {
		typ, ok := s.Type(entry.Type)
		if !ok {
			t.Fatalf("no type %s", entry.Type)
		}
		sources = append(sources, Source{Type: typ.Name, Topic: typ.Name, Partitions: 1, Spec: typ})
	}
	return MakePlan(f, sources)
}

const goodFile = `
name: orders
dsn: sqlite:x.db
table: orders
mode: upsert
key: [order_id]
columns:
  order_id: /order_id
types:
  - type: orders.order.placed.v1
    columns: {total: /total, quantity: /quantity, placed_at: /placed_at, customer: /customer, express: /express,
	status: {value: placed}}
    children:
      order_items:
        from: /items
        columns: {sku: /sku, qty: /qty, price: {from: /price, type: "numeric(10,2)"}}
  - type: orders.order.completed.v1
    columns: {status: {value: completed}, completed_at: {meta: time}}
  - {type: orders.order.cancelled.v1, mode: delete}
`

func TestColumnsTakeTheirTypesFromTheSpec(t *testing.T) {
	p, faults, _ := planOf(t, goodFile)
	if faults != nil {
		t.Fatal(faults)
	}
	var got []string
	for _, table := range p.Tables() {
		var columns []string
		for _, c := range table.Columns {
			name, _, _ := strings.Cut(c.Name, "_version")
			if name != "" {
				columns = append(columns, c.Name+" "+c.Type.String())
			}
		}
		got = append(got, table.Name+": "+strings.Join(columns, ", ")+"; "+strings.Join(table.Key, ", "))
	}
	want := "orders: order_id text, total numeric, quantity bigint, placed_at timestamptz, customer jsonb, express " +
		"boolean, " +
		"status text, completed_at timestamptz; order_id\n" +
		"order_items: order_id text, _index integer, sku text, qty integer, price numeric(10,2); order_id, _index"
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("the tables are\n%s\nwant\n%s", s, want)
	}
	if len(p.Groups) != 3 { // what placed alone writes, what completed alone writes, and the status, which is both's
		t.Errorf("%d groups of columns", len(p.Groups))
	}
}

// Each fault is made by one change of a good file, and found at its line.
func TestFaultsOfAFile(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"integer too small": {"quantity: /quantity", "quantity: {from: /quantity, type: integer}",
			"sink.yaml:10: column quantity: /quantity of orders.order.placed.v1 is an integer from 0 to 3000000000: integer " +
				"is too small"},
		"numeric too small": {"quantity: /quantity", `quantity: {from: /quantity, type: "numeric(5,0)"}`,
			"numeric(5,0) is too small"},
		"varchar too short": {"order_id: /order_id", "order_id: {from: /order_id, type: varchar(10)}",
			"varchar(10) is too short"},
		"unknown type": {"total: /total", "total: {from: /total, type: money}", `column total: "money" is no type`},
		"wrong kind": {"express: /express", "express: {from: /express, type: timestamptz}",
			"is boolean, which timestamptz cannot hold"},
		"no such field":   {"total: /total", "total: /totl", "column total: /totl never matches"},
		"no such item":    {"sku: /sku", "sku: /skU", "column sku: /skU never matches"},
		"no array":        {"from: /items", "from: /total", "is number, no array"},
		"no such array":   {"from: /items", "from: /itms", "child order_items: /itms never matches"},
		"no such key":     {"key: [order_id]", "key: [id]", "the key column id is no column"},
		"inexact key":     {"order_id: /order_id", "order_id: /total", "is numeric, in which equal values"},
		"no such version": {"key: [order_id]", "key: [order_id]\nversion: /revision", "version: /revision never matches"},
		"version": {"key: [order_id]", "key: [order_id]\nversion: /express",
			"is boolean, which does not tell what is newer"},
		"disagreement": {"status: {value: completed}", "status: {meta: offset}",
			"column status would be text for one type and bigint"},
		"unknown key":      {"mode: upsert", "mode: upsert\nmod: x", "sink.yaml:5: a sink has no key mod"},
		"twice":            {"mode: upsert", "mode: upsert\nmode: append", "a sink has the key mode twice"},
		"mode":             {"mode: upsert", "mode: replace", `"replace" is not known`},
		"name":             {"name: orders", "name: Orders!", "cannot name a sink"},
		"table":            {"table: orders", "table: or;ders", "cannot name a table"},
		"reserved table":   {"table: orders", "table: autobus_stage", "are the bus's own"},
		"reserved ending":  {"order_items:", "order_items__new:", "names that begin with autobus_ or end in __new"},
		"reserved column":  {"total: /total", "_total: /total", `"_total" cannot name a column`},
		"meta":             {"meta: time", "meta: tme", "there is no meta tme"},
		"two sources":      {"{value: placed}", "{value: placed, meta: id}", "exactly one of from, meta and value"},
		"no pointer":       {"total: /total", "total: total", "is no JSON pointer"},
		"variable":         {"sqlite:x.db", "postgres://${NO_SUCH_VARIABLE_}/x", "there is no variable NO_SUCH_VARIABLE_"},
		"no dsn":           {"dsn: sqlite:x.db", "", "either dsn or dsn_file"},
		"no yaml":          {"name: orders", "name: [", "did not find expected"},
		"value of a type":  {"{value: placed}", "{value: placed, type: integer}", "is no integer"},
		"delete in append": {"mode: upsert\nkey: [order_id]", "mode: append", "a type deletes only in mode upsert"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(goodFile, c.old) {
				t.Fatalf("%q is not in the file", c.old)
			}
			p, faults, _ := planOf(t, strings.Replace(goodFile[1:], c.old, c.new, 1))
			if p != nil || !strings.Contains(faults.Error(), c.want) {
				t.Errorf("the faults are:\n%s\nwant %q", faults.Error(), c.want)
			}
		})
	}
}

func TestAnIntegerWithoutBoundsFitsNoSmallColumn(t *testing.T) {
	file := strings.Replace(goodFile, "total: /total", "total: {from: /free, type: integer}", 1)
	if _, faults, _ := planOf(t, file); !strings.Contains(faults.Error(),
		"an integer without bounds: integer is too small") {
		t.Errorf("the faults are %v", faults)
	}
	if _, faults, _ := planOf(t, strings.Replace(file, "type: integer", "type: bigint", 1)); faults != nil {
		t.Errorf("bigint is refused: %v", faults)
	}
}
