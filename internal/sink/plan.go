// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// Names of the columns that are the bus's own. Those of an append table identify a row; versions are text that sorts.
const (
	ColumnTopic     = "_topic"
	ColumnPartition = "_partition"
	ColumnOffset    = "_offset"
	ColumnIndex     = "_index"   // of an item in its array
	ColumnVersion   = "_version" // of a row, or _version_<hash> of some of its columns
)

// Source is an event type as a sink reads it.
type Source struct {
	Type       string
	Topic      string
	Partitions int32
	Spec       *spec.Type // nil = unspecified
}

// Table is a table of a plan.
type Table struct {
	Name    string // table or schema.table
	Columns []TableColumn
	Key     []string // primary key
}

// TableColumn is a column of a table.
type TableColumn struct {
	Name    string
	Type    Type
	NotNull bool
	Version bool // it holds versions: text that is compared byte by byte
}

// Group is a set of columns that the same types write, so that one version tells how new all of them are.
type Group struct {
	Version  string // name of the column that holds it
	Columns  []int  // indexes into Plan.Columns
	Children []int  // indexes into Plan.Children
	Types    []string
}

// ChildPlan is the plan of a child table.
type ChildPlan struct {
	Table   string
	Columns []PlanColumn
}

// PlanColumn is a column that events fill.
type PlanColumn struct {
	Name string
	Type Type
}

// Plan is how events become rows. It is immutable.
type Plan struct {
	Name     string
	Table    string
	Upsert   bool
	Key      []int // indexes into Columns
	Columns  []PlanColumn
	Children []ChildPlan
	Groups   []Group // of an upsert; none of them has key columns
	File     *File
	Sources  []Source

	readers map[string]*rowReader // by topic
}

// MakePlan holds a file against the types that it names. Faults are what must be mended, warnings what should be known.
// A plan comes only without faults.
func MakePlan(f *File, sources []Source) (p *Plan, faults, warnings spec.Problems) {
	m := &planner{file: f, plan: &Plan{Name: f.Name, Table: f.Table, Upsert: f.Mode == ModeUpsert, File: f,
		Sources: sources, readers: map[string]*rowReader{}}}
	for i, entry := range f.Types {
		m.add(i, entry, sources[i])
	}
	m.complete()
	if len(m.faults) > 0 {
		return nil, m.faults, m.warnings
	}
	m.plan.Groups = m.groups()
	for i, entry := range f.Types {
		m.plan.readers[sources[i].Topic] = m.reader(i, entry, sources[i])
	}
	return m.plan, nil, m.warnings
}

// Topics lists what the sink reads.
func (p *Plan) Topics() []string {
	var out []string
	for _, s := range p.Sources {
		out = append(out, s.Topic)
	}
	return out
}

// Reads reports whether a topic is one of the sink's.
func (p *Plan) Reads(topic string) bool { return p.readers[topic] != nil }

// TPs lists the partitions that the sink reads.
func (p *Plan) TPs() []kafka.TP {
	var out []kafka.TP
	for _, s := range p.Sources {
		for n := range s.Partitions {
			out = append(out, kafka.TP{Topic: s.Topic, Partition: n})
		}
	}
	return out
}

// Tables lists the tables that the plan needs, parents first.
func (p *Plan) Tables() []Table {
	main := Table{Name: p.Table}
	if p.Upsert {
		for _, k := range p.Key {
			main.Key = append(main.Key, p.Columns[k].Name)
		}
	} else {
		main.Key = []string{ColumnTopic, ColumnPartition, ColumnOffset}
		main.Columns = append(main.Columns, placeColumns()...)
	}
	for i, c := range p.Columns {
		main.Columns = append(main.Columns, TableColumn{Name: c.Name, Type: c.Type,
			NotNull: p.Upsert && slices.Contains(p.Key, i)})
	}
	for _, g := range p.Groups {
		main.Columns = append(main.Columns, TableColumn{Name: g.Version, Type: Type{Kind: Text}, Version: true})
	}
	out := []Table{main}
	for _, c := range p.Children {
		t := Table{Name: c.Table, Key: append(slices.Clone(main.Key), ColumnIndex)}
		for _, k := range main.Columns {
			if slices.Contains(main.Key, k.Name) {
				t.Columns = append(t.Columns, k)
			}
		}
		t.Columns = append(t.Columns, TableColumn{Name: ColumnIndex, Type: Type{Kind: Integer}, NotNull: true})
		for _, k := range c.Columns {
			t.Columns = append(t.Columns, TableColumn{Name: k.Name, Type: k.Type})
		}
		out = append(out, t)
	}
	return out
}

func placeColumns() []TableColumn {
	return []TableColumn{
		{Name: ColumnTopic, Type: Type{Kind: Text}, NotNull: true},
		{Name: ColumnPartition, Type: Type{Kind: Integer}, NotNull: true},
		{Name: ColumnOffset, Type: Type{Kind: Bigint}, NotNull: true},
	}
}

// LayoutTable begins the names of child tables in a layout.
const LayoutTable = "table "

// Layout names what versions mean: for each column the version that judges it. A column whose version changes would be
// judged by one that knows nothing of its past, so that takes a rebuild. It names the child tables too, which no other
// sink may fill.
func (p *Plan) Layout() map[string]string {
	out := map[string]string{}
	for _, k := range p.Key {
		out[p.Columns[k].Name] = "key"
	}
	for _, g := range p.Groups {
		for _, c := range g.Columns {
			out[p.Columns[c].Name] = g.Version
		}
		for _, c := range g.Children {
			out[LayoutTable+p.Children[c].Table] = g.Version
		}
	}
	if !p.Upsert {
		for _, c := range p.Children {
			out[LayoutTable+c.Table] = ""
		}
	}
	if p.Upsert {
		out[""] = cmp.Or(p.File.Version, "time")
	}
	return out
}

// groups parts the columns by who writes them.
func (m *planner) groups() (out []Group) {
	if !m.plan.Upsert {
		return nil
	}
	at := map[string]int{}
	group := func(writers []string) *Group {
		id := strings.Join(writers, " ")
		i, ok := at[id]
		if !ok {
			i = len(out)
			at[id] = i
			out = append(out, Group{Types: writers})
		}
		return &out[i]
	}
	for i := range m.plan.Columns {
		if !slices.Contains(m.plan.Key, i) {
			g := group(m.writers[i])
			g.Columns = append(g.Columns, i)
		}
	}
	for i := range m.plan.Children {
		g := group(m.childWriters[i])
		g.Children = append(g.Children, i)
	}
	if len(out) == 0 { // a table of keys alone
		out = append(out, Group{Types: m.upserting()})
	}
	all := m.upserting()
	for i := range out {
		out[i].Version = ColumnVersion
		if !slices.Equal(out[i].Types, all) {
			sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(out[i].Types)), " ")))
			out[i].Version = fmt.Sprintf("%s_%s", ColumnVersion, hex.EncodeToString(sum[:4]))
		}
	}
	return out
}
