// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"fmt"
	"slices"
	"strings"

	"github.com/autobus-io/autobus/spec"
)

// planner makes a plan and gathers what is wrong.
type planner struct {
	file         *File
	plan         *Plan
	writers      [][]string // of each column: the types that write it
	childWriters [][]string
	docs         []*schemaDoc // of each type; nil = there is no schema
	faults       spec.Problems
	warnings     spec.Problems
}

func (m *planner) fault(line int, hint, format string, args ...any) {
	m.faults = append(m.faults, problem(m.file.Path, line, hint, format, args...))
}

func (m *planner) warn(line int, hint, format string, args ...any) {
	m.warnings = append(m.warnings, problem(m.file.Path, line, hint, format, args...))
}

// columnsOf are the columns of one type: the sink's and its own, which come instead of those of the same name.
func (m *planner) columnsOf(entry TypeEntry) []Column {
	out := overridden(m.file.Columns, entry.Columns, func(c Column) (string, bool) { return c.Name, c.Off })
	if entry.Mode == ModeDelete { // it needs to know the row, nothing else
		out = slices.DeleteFunc(out, func(c Column) bool { return !slices.Contains(m.file.Key, c.Name) })
	}
	return out
}

func (m *planner) childrenOf(entry TypeEntry) []Child {
	if entry.Mode == ModeDelete {
		return nil
	}
	return overridden(m.file.Children, entry.Children, func(c Child) (string, bool) { return c.Table, c.Off })
}

// overridden is what is common to all types with a type's own in the place of those of the same name, then the rest of
// its own; without those that are off.
func overridden[T any](common, own []T, as func(T) (name string, off bool)) (out []T) {
	left := map[string]T{}
	for _, c := range own {
		name, _ := as(c)
		left[name] = c
	}
	for _, c := range common {
		name, _ := as(c)
		if o, ok := left[name]; ok {
			delete(left, name)
			c = o
		}
		if _, off := as(c); !off {
			out = append(out, c)
		}
	}
	for _, c := range own {
		name, off := as(c)
		if _, ok := left[name]; ok && !off {
			out = append(out, c)
		}
	}
	return out
}

// upserting lists the types that write rows.
func (m *planner) upserting() (out []string) {
	for _, t := range m.file.Types {
		if t.Mode != ModeDelete {
			out = append(out, t.Type)
		}
	}
	return out
}

// add takes the columns of one type into the plan.
func (m *planner) add(_ int, entry TypeEntry, source Source) {
	var doc *schemaDoc
	if s := source.Spec; s != nil && s.ContentType == "" && len(s.Schema) > 0 {
		var err error
		if doc, err = newSchemaDoc(s.Schema); err != nil {
			m.fault(entry.Line, "Push the specs again.", "%s: its schema cannot be read: %v", entry.Type, err)
		}
	}
	m.docs = append(m.docs, doc)
	open := source.Spec == nil || source.Spec.OpenWriters
	columns := m.columnsOf(entry)
	if len(columns) == 0 && m.plan.Upsert {
		m.fault(entry.Line, "Name columns, for the sink or for the type.", "%s has no columns", entry.Type)
	}
	for _, c := range columns {
		t, ok := m.typeOf(entry.Type, c, doc, open)
		if !ok {
			continue
		}
		i := m.column(&m.plan.Columns, c, t)
		if i == len(m.writers) {
			m.writers = append(m.writers, nil)
		}
		if entry.Mode != ModeDelete {
			m.writers[i] = append(m.writers[i], entry.Type)
		}
	}
	for _, c := range m.childrenOf(entry) {
		m.child(entry, c, doc, open)
	}
	if v := m.versionOf(entry); v != "" {
		m.version(entry, v, doc, open)
	}
}

// column gives the index of a column in a list, after it was put there; types that write one column must agree on it.
func (m *planner) column(list *[]PlanColumn, c Column, t Type) int {
	for i, have := range *list {
		if have.Name != c.Name {
			continue
		}
		switch {
		case have.Type == t:
		case have.Type.Widens(t):
			(*list)[i].Type = t
		case t.Widens(have.Type):
		default:
			m.fault(c.Line, "Say type: for both, one that holds the values of both.",
				"column %s would be %s for one type and %s for another", c.Name, have.Type, t)
		}
		return i
	}
	*list = append(*list, PlanColumn{Name: c.Name, Type: t})
	return len(*list) - 1
}

func (m *planner) child(entry TypeEntry, c Child, doc *schemaDoc, open bool) {
	i := slices.IndexFunc(m.plan.Children, func(have ChildPlan) bool { return have.Table == c.Table })
	if i < 0 {
		i = len(m.plan.Children)
		m.plan.Children = append(m.plan.Children, ChildPlan{Table: c.Table})
		m.childWriters = append(m.childWriters, nil)
	}
	m.childWriters[i] = append(m.childWriters[i], entry.Type)
	var items *schemaDoc
	if doc != nil {
		found, declared := doc.at(c.From)
		f := factsOf(found)
		switch {
		case !declared && !open:
			m.neverMatches(c.Line, entry.Type, "child "+c.Table, c.From)
		case declared && len(f.types) > 0 && !f.types["array"]:
			m.fault(c.Line, "Point at an array.", "child %s: %s of %s is %s, no array", c.Table, c.From, entry.Type, f.names())
		default:
			items, _ = doc.itemsSchema(found)
		}
	}
	for _, k := range c.Columns {
		if k.Off {
			continue
		}
		if t, ok := m.typeOf(entry.Type, k, items, open || items == nil); ok {
			m.column(&m.plan.Children[i].Columns, k, t)
		}
	}
}

func (m *planner) versionOf(entry TypeEntry) string {
	if entry.Version != "" {
		return entry.Version
	}
	return m.file.Version
}

func (m *planner) version(entry TypeEntry, pointer string, doc *schemaDoc, open bool) {
	if !strings.HasPrefix(pointer, "/") {
		m.fault(entry.Line, "Write it as /version.", "version %q is no JSON pointer", pointer)
		return
	}
	if doc == nil {
		return
	}
	found, declared := doc.at(pointer)
	f := factsOf(found)
	switch {
	case !declared && !open:
		m.neverMatches(entry.Line, entry.Type, "version", pointer)
	case len(f.types) > 0 && !f.types["integer"] && f.format != "date-time":
		m.fault(entry.Line, "Point at an integer or a date-time.",
			"version: %s of %s is %s, which does not tell what is newer",
			pointer, entry.Type, f.names())
	}
}

func (m *planner) neverMatches(line int, typ, what, pointer string) {
	m.fault(line, "Look at autobus types show "+typ+".", "%s: %s never matches: the spec of %s declares no such field",
		what,
		pointer, typ)
}

// complete checks what only all types together tell.
func (m *planner) complete() {
	for _, k := range m.file.Key {
		i := slices.IndexFunc(m.plan.Columns, func(c PlanColumn) bool { return c.Name == k })
		if i < 0 {
			m.fault(0, "Name it under columns.", "the key column %s is no column", k)
			continue
		}
		m.plan.Key = append(m.plan.Key, i)
		switch kind := m.plan.Columns[i].Type.Kind; kind {
		case Numeric, Double, JSONB, Timestamptz:
			m.fault(0, "Use a text, an integer, a uuid or a date.",
				"the key column %s is %s, in which equal values can be written in many ways", k, kind)
		default:
		}
		for n, entry := range m.file.Types {
			if !slices.ContainsFunc(m.columnsOf(entry), func(c Column) bool { return c.Name == k }) {
				m.fault(entry.Line, "Say where the type has it.", "%s does not fill the key column %s", m.file.Types[n].Type, k)
			}
		}
	}
	tables := map[string]bool{m.plan.Table: true}
	for i, c := range m.plan.Children {
		if tables[c.Table] {
			m.fault(0, "Give it another name.", "the child %s is a table of the sink already", c.Table)
		}
		tables[c.Table] = true
		for _, k := range c.Columns {
			if slices.Contains(m.file.Key, k.Name) {
				m.fault(0, "Give it another name; the child has the key of its row anyway.", "child %s: %s is a key column",
					m.plan.Children[i].Table, k.Name)
			}
		}
	}
}

func (f facts) names() string {
	var out []string
	for _, t := range []string{"array", "boolean", "integer", "number", "object", "string"} {
		if f.types[t] {
			out = append(out, t)
		}
	}
	s := strings.Join(out, " or ")
	if f.format != "" {
		s += fmt.Sprintf(" (%s)", f.format)
	}
	return s
}
