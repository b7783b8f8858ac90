// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"encoding/json"
	"fmt"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// The log's own, by names of this package, so that targets need not know the log.
type (
	// Record is one record of a partition.
	Record = kafka.Record
	// Header is one header of a record.
	Header = kafka.Header
	// TP names a partition.
	TP = kafka.TP
)

// Row is what one event becomes.
type Row struct {
	Record   *Record
	Type     string
	Values   []any     // of Plan.Columns; nil = NULL
	Children [][][]any // of Plan.Children, the items' values
	Key      string    // of an upsert: what identifies the row, in one text
	Version  string    // of an upsert: sorts as text, another one for every event
	Delete   bool      // the row of the key goes
	Groups   []int     // of Plan.Groups, those that the event writes
	Size     int       // bytes, about
	Bad      *Bad      // why it cannot be written; then nothing else but Record and Type is set
}

// rowReader makes rows of the records of one type.
type rowReader struct {
	plan      *Plan
	source    Source
	rank      int
	deletes   bool // all its events delete
	find      finder
	slots     int
	columns   []getter
	children  []childReader
	version   int // slot of the version; -1 = by time
	groups    []int
	tombstone int // index into columns of the key column that a record's key gives; -1 = none does
}

// getter says where one column's value is.
type getter struct {
	column int // index into the list of columns it belongs to
	slot   int // of the finder; -1 = not from the data
	meta   string
	value  any
	typ    Type
	unit   string
}

type childReader struct {
	child   int // index into Plan.Children
	slot    int
	find    finder
	slots   int
	columns []getter
}

func (m *planner) reader(rank int, entry TypeEntry, source Source) *rowReader {
	r := &rowReader{plan: m.plan, source: source, rank: rank, deletes: entry.Mode == ModeDelete, version: -1,
		tombstone: -1}
	r.columns = getters(m.columnsOf(entry), m.plan.Columns, &r.find, &r.slots)
	for _, c := range m.childrenOf(entry) {
		child := childReader{slot: r.slots}
		for child.child = 0; m.plan.Children[child.child].Table != c.Table; {
			child.child++
		}
		r.find.add(c.From, r.slots)
		r.slots++
		child.columns = getters(c.Columns, m.plan.Children[child.child].Columns, &child.find, &child.slots)
		r.children = append(r.children, child)
	}
	if v := m.versionOf(entry); v != "" {
		r.version = r.slots
		r.find.add(v, r.slots)
		r.slots++
	}
	for i, g := range m.plan.Groups {
		for _, t := range g.Types {
			if t == entry.Type {
				r.groups = append(r.groups, i)
			}
		}
	}
	if len(m.plan.Key) == 1 {
		for i, c := range m.columnsOf(entry) {
			byPointer := source.Spec != nil && c.From != "" && c.From == source.Spec.KeyPointer
			if c.Name == m.file.Key[0] && (byPointer || c.Meta == "key") {
				r.tombstone = i
			}
		}
	}
	return r
}

func getters(columns []Column, list []PlanColumn, find *finder, slots *int) (out []getter) {
	for _, c := range columns {
		if c.Off {
			continue
		}
		g := getter{slot: -1, meta: c.Meta, unit: c.Unit}
		for g.column = 0; list[g.column].Name != c.Name; {
			g.column++
		}
		g.typ = list[g.column].Type
		switch {
		case c.From != "":
			g.slot = *slots
			find.add(c.From, *slots)
			*slots++
		case c.HasValue:
			g.value, _ = cast(quoteJSON(c.Value), g.typ, c.Unit) // the planner looked at it
		}
		out = append(out, g)
	}
	return out
}

// Row makes a row of a record. The error is not the row's: a record that this build cannot read stops the sink.
func (p *Plan) Row(rec *Record) (Row, error) {
	if form, ok := header(rec, "autobus-form"); ok {
		return Row{}, autobus.NewError(autobus.ReasonTypeUnreadable,
			"the record at offset %d of partition %d of %s has form "+
				"%q, which this build cannot read", rec.Offset, rec.Partition, rec.Topic, shorten([]byte(form)))
	}
	r := p.readers[rec.Topic]
	row := Row{Record: rec, Type: r.source.Type, Size: len(rec.Key) + len(rec.Value) + 64}
	if b := r.fill(&row); b != nil {
		return Row{Record: rec, Type: row.Type, Size: row.Size, Bad: b}, nil
	}
	return row, nil
}

func (r *rowReader) fill(row *Row) *Bad {
	rec := row.Record
	var few [16][]byte // needs no memory of its own
	found := few[:]
	if r.slots > len(few) {
		found = make([][]byte, r.slots)
	}
	row.Values = make([]any, len(r.plan.Columns))
	row.Delete = r.deletes
	switch {
	case rec.Value == nil && r.plan.Upsert:
		row.Delete = true
		if r.tombstone < 0 {
			return bad(stateNull, "an event without data names no row: the key is not the record's")
		}
		if r.version >= 0 {
			return bad(stateNull, "an event without data has no version")
		}
		g := r.columns[r.tombstone]
		v, b := cast(quoteJSON(string(rec.Key)), g.typ, g.unit)
		if b != nil {
			return b
		}
		row.Values[g.column] = v
	case rec.Value == nil:
	case r.slots > 0 || r.wantsData():
		if err := spec.CheckJSON(rec.Value); err != nil {
			return bad(stateJSON, "%s", err.Detail)
		}
		r.find.find(rec.Value, 0, found)
	}
	if rec.Value != nil || !row.Delete {
		if b := fillColumns(row.Values, r.columns, found, rec, &r.source); b != nil {
			return b
		}
	}
	if err := r.fillChildren(row, found); err != nil {
		return err
	}
	if !r.plan.Upsert {
		return nil
	}
	row.Groups = r.groups
	var b *Bad
	if row.Version, b = r.versionOf(rec, found); b != nil {
		return b
	}
	row.Key, b = r.plan.keyOf(row.Values)
	return b
}

func (r *rowReader) wantsData() bool {
	for _, g := range r.columns {
		if g.meta == "data" {
			return true
		}
	}
	return false
}

func fillColumns(into []any, columns []getter, found [][]byte, rec *Record, source *Source) *Bad {
	for i := range columns {
		g := &columns[i]
		var b *Bad
		switch {
		case g.slot >= 0:
			into[g.column], b = cast(found[g.slot], g.typ, g.unit)
		case g.meta != "":
			into[g.column], b = meta(g.meta, g.typ, rec, source)
		default:
			into[g.column] = g.value
		}
		if b != nil {
			return b
		}
	}
	return nil
}

func (r *rowReader) fillChildren(row *Row, found [][]byte) (b *Bad) {
	if len(r.plan.Children) == 0 {
		return nil
	}
	row.Children = make([][][]any, len(r.plan.Children))
	for i := range r.children {
		c := &r.children[i]
		raw := found[c.slot]
		if len(raw) == 0 || raw[0] == 'n' {
			continue
		}
		isArray := each(raw, func(item []byte) {
			if b != nil {
				return
			}
			values := make([]any, len(r.plan.Children[c.child].Columns))
			slots := make([][]byte, c.slots)
			c.find.find(item, 0, slots)
			b = fillColumns(values, c.columns, slots, row.Record, &r.source)
			row.Children[c.child] = append(row.Children[c.child], values)
		})
		if !isArray {
			return bad(stateText, "%s is no array, whose items %s would hold", shorten(raw), r.plan.Children[c.child].Table)
		}
		if b != nil {
			b.Reason = fmt.Sprintf("item %d: %s", len(row.Children[c.child])-1, b.Reason)
			return b
		}
	}
	return nil
}

func quoteJSON(s string) []byte {
	raw, _ := json.Marshal(s) // a text always can be
	return raw
}
