// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/autobus-io/autobus/internal/sink"
)

// statements are the SQL of a plan. An upsert goes over stages, temporary tables that get the rows of a batch, one row
// a key: what is newer is decided by the database, with all rows at once.
type statements struct {
	stages  []string   // make the temporary tables
	columns [][]string // of each stage
	clear   string     // what empties the stages, behind another statement
	fresh   string     // the first of puts for keys that have no row yet; "" = there is no quicker way for them
	deletes []string   // run where some events delete; those that say so take the sink's name as parameter
	puts    []string
	named   map[string]bool // statements whose one parameter is the sink's name
}

// Names of the stages and of their columns that no table has.
const (
	stage        = "autobus_stage"
	stageKey     = "_k"       // the key as one text
	stageDeleted = "_deleted" // version of the newest event that deletes
)

func stageOf(child int) string { return fmt.Sprintf("%s_%d", stage, child+1) }

func (s *Store) statementsOf(p *sink.Plan) statements {
	out := statements{named: map[string]bool{}}
	if !p.Upsert {
		return out
	}
	tables := p.Tables()
	main := tables[0]
	out.stage(s, stage, append([]sink.TableColumn{{Name: stageKey, Version: true}},
		append(main.Columns, sink.TableColumn{Name: stageDeleted, Version: true})...))
	for i, t := range tables[1:] {
		out.stage(s, stageOf(i), append(slices.Clone(t.Columns), sink.TableColumn{Name: sink.ColumnVersion, Version: true}))
	}
	b := &upsertSQL{plan: p, table: quote(main.Name), keys: quoteAll(main.Key)}
	out.add(true, &out.deletes, b.remember())
	for g := range p.Groups {
		for _, c := range p.Groups[g].Children {
			out.add(false, &out.deletes, b.deleteChildren(quote(tables[1+c].Name), "s._deleted IS NOT NULL AND COALESCE(x."+
				quote(p.Groups[g].Version)+", '') < s._deleted"))
		}
	}
	out.add(false, &out.deletes, b.deleteRows())
	if len(p.Groups) > 1 {
		out.add(false, &out.deletes, b.deleteGroups())
	}
	out.add(true, &out.puts, b.insert()+b.onConflict())
	if s.dialect.Fresh {
		out.fresh = b.fresh()
		out.named[out.fresh] = true
	}
	for _, g := range p.Groups {
		for _, c := range g.Children {
			v := quote(g.Version)
			out.add(false, &out.puts, b.deleteChildren(quote(tables[1+c].Name), "x."+v+" = s."+v))
			out.add(false, &out.puts, b.insertChildren(tables[1+c], stageOf(c), v))
		}
	}
	return out
}

func (st *statements) add(named bool, to *[]string, query string) {
	*to = append(*to, query)
	st.named[query] = named
}

// stage makes a temporary table. Nothing in it is refused but what no column of the type can hold.
func (st *statements) stage(s *Store, name string, columns []sink.TableColumn) {
	var defs, names []string
	for _, c := range columns {
		typ := s.dialect.Version
		if !c.Version {
			typ = s.dialect.Type(c.Type)
		}
		defs = append(defs, quote(c.Name)+" "+typ)
		names = append(names, c.Name)
	}
	st.stages = append(st.stages, s.dialect.Temp(name, strings.Join(defs, ", ")))
	st.columns = append(st.columns, names)
	st.clear += "; DELETE FROM " + name
}

// upsert writes what several events say of each row.
func (s *Store) upsert(ctx context.Context, rows []sink.Row) error {
	merged := sink.Fold(s.plan, rows)
	main := make([][]any, 0, len(merged))
	children := make([][][]any, len(s.plan.Children))
	deletes := false
	for _, m := range merged {
		row := append(make([]any, 0, len(m.Values)+len(m.Winners)+2), m.Key)
		row = append(row, m.Values...)
		for g, w := range m.Winners {
			if w == nil {
				row = append(row, nil)
				continue
			}
			row = append(row, w.Version)
			for _, c := range s.plan.Groups[g].Children {
				children[c] = append(children[c], s.items(m, w, c)...)
			}
		}
		if m.Deleted == "" {
			row = append(row, nil)
		} else {
			deletes = true
			row = append(row, m.Deleted)
		}
		main = append(main, row)
	}
	for i, values := range append([][][]any{main}, children...) {
		if len(values) == 0 {
			continue
		}
		name := stage
		if i > 0 {
			name = stageOf(i - 1)
		}
		if err := s.dialect.Load(ctx, s.conn, name, s.sql.columns[i], values); err != nil {
			return err
		}
	}
	if deletes {
		if err := s.all(ctx, s.sql.deletes); err != nil {
			return err
		}
	}
	done, err := s.putFresh(ctx, len(main))
	if err != nil {
		return err
	}
	return s.all(ctx, s.sql.puts[done:])
}

func (s *Store) items(m *sink.Merged, w *sink.Row, child int) (out [][]any) {
	for n, item := range childOf(w, child) {
		var row []any
		for _, k := range s.plan.Key {
			row = append(row, m.Values[k])
		}
		row = append(row, int64(n))
		out = append(out, append(append(row, item...), w.Version))
	}
	return out
}

func (s *Store) all(ctx context.Context, queries []string) error {
	for _, q := range queries {
		var args []any
		if s.sql.named[q] {
			args = append(args, s.plan.Name)
		}
		if _, err := s.exec(ctx, s.conn, q, args...); err != nil {
			return err
		}
	}
	return nil
}

// upsertSQL writes the statements. In all of them x is the table and s its stage.
type upsertSQL struct {
	plan  *sink.Plan
	table string
	keys  []string
}

// same says that x and another are of one key.
func (b *upsertSQL) same(other string) string {
	var out []string
	for _, k := range b.keys {
		out = append(out, "x."+k+" = "+other+"."+k)
	}
	return strings.Join(out, " AND ")
}

func (b *upsertSQL) keysOf(alias string) string {
	var out []string
	for _, k := range b.keys {
		out = append(out, alias+k)
	}
	return strings.Join(out, ", ")
}

// remember keeps how new the deletion of a key is.
func (b *upsertSQL) remember() string {
	return "INSERT INTO autobus_sink_deleted AS d (sink, key, version) SELECT CAST(? AS text), s._k, s._deleted FROM " +
		stage + " s WHERE s._deleted IS NOT NULL ON CONFLICT (sink, key) DO UPDATE SET version = excluded.version " +
		"WHERE excluded.version > d.version"
}

// matching selects the keys of rows that stand beside their stage in some way. The stage comes first in the join: it is
// the small one, and not every planner knows.
func (b *upsertSQL) matching(condition string) string {
	return "(" + b.keysOf("") + ") IN (SELECT " + b.keysOf("x.") + " FROM " + stage + " s CROSS JOIN " + b.table +
		" x WHERE " + b.same("s") + " AND " + condition + ")"
}

func (b *upsertSQL) deleteChildren(child, condition string) string {
	return "DELETE FROM " + child + " WHERE " + b.matching(condition)
}

func (b *upsertSQL) deleteRows() string {
	older := []string{"s._deleted IS NOT NULL"}
	for _, g := range b.plan.Groups {
		older = append(older, "COALESCE(x."+quote(g.Version)+", '') < s._deleted")
	}
	return "DELETE FROM " + b.table + " WHERE " + b.matching(strings.Join(older, " AND "))
}

// deleteGroups empties what is older than the deletion in rows of which something is newer.
func (b *upsertSQL) deleteGroups() string {
	var sets []string
	for _, g := range b.plan.Groups {
		older := "COALESCE(x." + quote(g.Version) + ", '') < s._deleted"
		for _, c := range append(b.columns(g), quote(g.Version)) {
			sets = append(sets, c+" = CASE WHEN "+older+" THEN NULL ELSE x."+c+" END")
		}
	}
	return "UPDATE " + b.table + " AS x SET " + strings.Join(sets, ", ") + " FROM " + stage + " s WHERE " + b.same("s") +
		" AND s._deleted IS NOT NULL"
}

func (b *upsertSQL) columns(g sink.Group) (out []string) {
	for _, c := range g.Columns {
		out = append(out, quote(b.plan.Columns[c].Name))
	}
	return out
}

// insert puts rows in.
func (b *upsertSQL) insert() string {
	into, from := slices.Clone(b.keys), []string{b.keysOf("s.")}
	var alive []string
	for _, g := range b.plan.Groups {
		v := quote(g.Version)
		lives := "s." + v + " IS NOT NULL AND (d.version IS NULL OR s." + v + " > d.version)"
		alive = append(alive, "("+lives+")")
		for _, c := range append(b.columns(g), v) {
			into = append(into, c)
			from = append(from, "CASE WHEN "+lives+" THEN s."+c+" END")
		}
	}
	return "INSERT INTO " + b.table + " AS x (" + strings.Join(into, ", ") + ") SELECT " + strings.Join(from,
		", ") + " FROM " +
		stage + " s LEFT JOIN autobus_sink_deleted d ON d.sink = ? AND d.key = s._k WHERE " + strings.Join(alive, " OR ")
}

// onConflict puts, into rows that are there, the parts that are newer.
func (b *upsertSQL) onConflict() string {
	var sets, newer []string
	for _, g := range b.plan.Groups {
		v := quote(g.Version)
		is := "excluded." + v + " > COALESCE(x." + v + ", '')"
		newer = append(newer, is)
		for _, c := range append(b.columns(g), v) {
			if len(b.plan.Groups) == 1 {
				sets = append(sets, c+" = excluded."+c)
			} else {
				sets = append(sets, c+" = CASE WHEN "+is+" THEN excluded."+c+" ELSE x."+c+" END")
			}
		}
	}
	return " ON CONFLICT (" + b.keysOf("") + ") DO UPDATE SET " + strings.Join(sets, ", ") + " WHERE " +
		strings.Join(newer, " OR ")
}

// insertChildren puts in the items of events that won.
func (b *upsertSQL) insertChildren(child sink.Table, from, version string) string {
	columns := quoteAll(columnsOf(child))
	return "INSERT INTO " + quote(child.Name) + " (" + strings.Join(columns, ", ") + ") SELECT s." +
		strings.Join(columns, ", s.") + " FROM " + from + " s CROSS JOIN " + b.table + " x WHERE " + b.same("s") + " AND x." +
		version + " = s._version"
}
