// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/spec"
)

// Check is what a plan needs of the database as it is.
type Check struct {
	Steps  []Step        // to be applied before the sink can run
	Faults spec.Problems // what no step mends
}

// Step is one change of the database.
type Step struct {
	SQL string `json:"sql"`
	Why string `json:"why"`
}

func (c *Check) step(why, format string, args ...any) {
	c.Steps = append(c.Steps, Step{SQL: fmt.Sprintf(format, args...), Why: why})
}

// Check holds a plan against the database. It changes nothing.
func (s *Store) Check(ctx context.Context, p *sink.Plan) (*Check, error) {
	c := &Check{}
	if err := s.checkOwn(ctx, c); err != nil {
		return nil, s.unreachable(err)
	}
	for _, t := range p.Tables() {
		have, err := s.dialect.Columns(ctx, s.db, t.Name)
		if err == nil && have == nil {
			err = s.checkSchema(ctx, c, p, t.Name)
		} else if err == nil {
			err = s.checkRights(ctx, c, p, t.Name)
		}
		if err != nil {
			return nil, s.unreachable(err)
		}
		if have == nil {
			c.step("the table "+t.Name+" is missing", "%s", s.create(t))
			continue
		}
		s.checkTable(c, p, t, have)
	}
	if err := s.checkName(ctx, c, p); err != nil {
		return nil, s.unreachable(err)
	}
	return c, nil
}

// own are the tables of the sinks themselves, and their columns.
func (s *Store) own() [][2]string {
	v, b := s.dialect.Version, s.dialect.Bytes
	return [][2]string{
		{"autobus_sink", "name " + v + " PRIMARY KEY, target text NOT NULL, layout text NOT NULL, writer text, " +
			"beat bigint NOT NULL DEFAULT 0"},
		{"autobus_sink_offset", "sink " + v + " NOT NULL, topic " + v + " NOT NULL, partition integer NOT NULL, " +
			"topic_id text NOT NULL, next_offset bigint NOT NULL, PRIMARY KEY (sink, topic, partition)"},
		{"autobus_sink_error", "sink " + v + " NOT NULL, topic " + v + " NOT NULL, partition integer NOT NULL, " +
			"record_offset bigint NOT NULL, type text NOT NULL, sqlstate text NOT NULL, reason text NOT NULL, " +
			"record_time bigint NOT NULL, key " + b + ", value " + b + ", headers text NOT NULL, at bigint NOT NULL, " +
			"PRIMARY KEY (sink, topic, partition, record_offset)"},
		{"autobus_sink_deleted", "sink " + v + " NOT NULL, key " + v + " NOT NULL, version " + v + " NOT NULL, " +
			"PRIMARY KEY (sink, key)"},
	}
}

func (s *Store) checkOwn(ctx context.Context, c *Check) error {
	for _, t := range s.own() {
		have, err := s.dialect.Columns(ctx, s.db, t[0])
		if err != nil {
			return err
		}
		if have == nil {
			c.step("sinks keep their own state beside the rows", "CREATE TABLE IF NOT EXISTS %s (%s)", t[0], t[1])
		}
	}
	return nil
}

func (s *Store) create(t sink.Table) string {
	var defs []string
	for _, c := range t.Columns {
		defs = append(defs, s.define(c))
	}
	return fmt.Sprintf("CREATE TABLE %s (\n  %s,\n  PRIMARY KEY (%s)\n)", quote(t.Name), strings.Join(defs, ",\n  "),
		strings.Join(quoteAll(t.Key), ", "))
}

func (s *Store) define(c sink.TableColumn) string {
	d := quote(c.Name) + " " + s.typeOf(c)
	if c.NotNull {
		d += " NOT NULL"
	}
	return d
}

func (s *Store) typeOf(c sink.TableColumn) string {
	if c.Version {
		return s.dialect.Version
	}
	return s.dialect.Type(c.Type)
}

// checkTable compares a table that is there with what the plan needs.
func (s *Store) checkTable(c *Check, p *sink.Plan, t sink.Table, have []Column) {
	fault := func(hint, format string, args ...any) {
		c.Faults = append(c.Faults, spec.Problem{File: p.File.Path, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	live, key := map[string]Column{}, []string{}
	for _, h := range have {
		live[h.Name] = h
		if h.Key {
			key = append(key, h.Name)
		}
	}
	if want := t.Key; !slices.Equal(slices.Sorted(slices.Values(key)), slices.Sorted(slices.Values(want))) {
		fault("Name another table, or give this one that primary key, and not deferrable.",
			"the table %s has the primary key (%s), the sink needs (%s)",
			t.Name, strings.Join(key, ", "), strings.Join(want, ", "))
	}
	for _, need := range t.Columns {
		h, there := live[need.Name]
		delete(live, need.Name)
		switch {
		case !there && need.NotNull:
			fault("Name another table.", "the table %s has no column %s, which is part of its key", t.Name, need.Name)
		case h.Generated:
			fault("Name another column.", "the column %s of the table %s is generated: nobody can write it", need.Name, t.Name)
		case !there:
			c.step("the column "+need.Name+" is new; what came before has none: rebuild fills it",
				"ALTER TABLE %s ADD COLUMN %s", quote(t.Name), s.define(need))
		case h.Known && (need.Type.Widens(h.Type) || need.Version && h.Type.Kind == sink.Text):
		case h.Known && h.Type.Widens(need.Type) && s.dialect.Widen == nil:
		case h.Known && h.Type.Widens(need.Type):
			c.step(fmt.Sprintf("%s is too small for what the spec allows, %s", h.Type, need.Type), "%s",
				s.dialect.Widen(quote(t.Name), quote(need.Name), s.typeOf(need)))
		default:
			fault("Say type: "+h.Raw+" if its values fit, or name another column.",
				"the column %s of the table %s is %s, the sink needs %s", need.Name, t.Name, h.Raw, need.Type)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(live)) {
		if h := live[name]; h.NotNull && !h.Default && !h.Key {
			fault("Give it a default, or fill it by the sink.",
				"the column %s of the table %s must not be empty, and the sink does "+
					"not fill it", name, t.Name)
		}
	}
}

// checkName looks who else has the name or the table.
func (s *Store) checkName(ctx context.Context, c *Check, p *sink.Plan) error {
	layout, err := json.Marshal(p.Layout())
	if err != nil {
		return err
	}
	there, err := s.dialect.Columns(ctx, s.db, "autobus_sink")
	if err != nil {
		return err
	}
	found := false
	mine := map[string]bool{}
	for _, t := range p.Tables() {
		mine[t.Name] = true
	}
	fault := func(hint, format string, args ...any) {
		c.Faults = append(c.Faults, spec.Problem{File: p.File.Path, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	if there != nil {
		err = s.query(ctx, s.db, func(rows *sql.Rows) error {
			var name, target, had string
			if err := rows.Scan(&name, &target, &had); err != nil {
				return err
			}
			switch {
			case name == p.Name && target != p.Table:
				fault("Give one of them another name.", "another sink of the name %s fills the table %s of this database", name,
					target)
			case name == p.Name:
				found = true
				changed, err := relaid(had, p)
				if err != nil {
					return err
				}
				if len(changed) > 0 {
					fault("Run autobus sink rebuild FILE: it fills the table anew.",
						"what decides which event is newer has changed for %s; the rows there know nothing of it", strings.Join(changed,
							", "))
				} else if had != string(layout) {
					c.step("the sink has other columns", "UPDATE autobus_sink SET layout = '%s' WHERE name = '%s'",
						strings.ReplaceAll(string(layout), "'", "''"), p.Name)
				}
			default:
				for _, t := range tablesOf(target, had) {
					if mine[t] {
						fault("Name another table, or both types in one sink.", "the sink %s fills the table %s already", name, t)
					}
				}
			}
			return nil
		}, `SELECT name, target, layout FROM autobus_sink`)
	}
	if err == nil && !found {
		c.step("the sink is new here", "INSERT INTO autobus_sink (name, target, layout) VALUES ('%s', '%s', '%s')", p.Name,
			p.Table,
			strings.ReplaceAll(string(layout), "'", "''"))
	}
	return err
}

// tablesOf are the tables of a sink that the database knows.
func tablesOf(target, layout string) []string {
	out := []string{target}
	var names map[string]string
	_ = json.Unmarshal([]byte(layout), &names) // what cannot be read is told where it is the plan's own
	for name := range names {
		if t, ok := strings.CutPrefix(name, sink.LayoutTable); ok {
			out = append(out, t)
		}
	}
	return out
}

// relaid lists the columns that another version judges than before. New columns have no past.
func relaid(had string, p *sink.Plan) (changed []string, err error) {
	var before map[string]string
	if err := json.Unmarshal([]byte(had), &before); err != nil {
		return nil, fmt.Errorf("the layout of sink %s cannot be read: %w", p.Name, err)
	}
	now := p.Layout()
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if was, ok := before[name]; ok && was != now[name] {
			if name == "" {
				name = "all columns"
			}
			changed = append(changed, name)
		}
	}
	return changed, nil
}

// Apply takes steps, all or none.
func (s *Store) Apply(ctx context.Context, steps []Step) error {
	return s.within(ctx, func(q Querier) error {
		for _, st := range steps {
			_, err := q.ExecContext(ctx, st.SQL)
			if err != nil && s.dialect.State(err) != "" {
				return autobus.NewError(autobus.ReasonSinkInvalid, "%s refuses %s: %v", s.dialect.Name, firstLine(st.SQL), err).
					WithHint("Give the user of the DSN the right, or apply the statements by hand; nothing was changed.")
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// within does something in a transaction of its own.
func (s *Store) within(ctx context.Context, do func(Querier) error) (err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return s.unreachable(err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	if _, err := conn.ExecContext(ctx, s.dialect.Begin); err != nil {
		return s.unreachable(err)
	}
	if err = do(conn); err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, undone := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(s.unreachable(err), undone)
	}
	return nil
}
