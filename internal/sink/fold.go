// SPDX-License-Identifier: Apache-2.0

package sink

// Merged is what several events say of one row of an upsert, put together: it can be written in one step, and events
// that come later, be they older or newer, find the row as if all had come one by one.
type Merged struct {
	Key     string
	Values  []any  // the key columns, and those of the groups that have a version
	Deleted string // version of the newest event that deletes the row; "" = none does
	Winners []*Row // of Plan.Groups: the newest event that writes it and is newer than Deleted; nil = none
}

// Fold puts rows of the same key together, in the order in which the keys came first. The order of the rows does not
// matter.
func Fold(p *Plan, rows []Row) []*Merged {
	at := make(map[string]*Merged, len(rows))
	out := make([]*Merged, 0, len(rows))
	for i := range rows {
		row := &rows[i]
		m := at[row.Key]
		if m == nil {
			m = &Merged{Key: row.Key, Values: make([]any, len(p.Columns)), Winners: make([]*Row, len(p.Groups))}
			for _, k := range p.Key {
				m.Values[k] = row.Values[k]
			}
			at[row.Key] = m
			out = append(out, m)
		}
		if row.Delete {
			m.Deleted = max(m.Deleted, row.Version)
			continue
		}
		for _, g := range row.Groups {
			if m.Winners[g] == nil || m.Winners[g].Version < row.Version {
				m.Winners[g] = row
			}
		}
	}
	for _, m := range out {
		for g, w := range m.Winners {
			if w == nil {
				continue
			}
			if w.Version < m.Deleted {
				m.Winners[g] = nil
				continue
			}
			for _, c := range p.Groups[g].Columns {
				m.Values[c] = w.Values[c]
			}
		}
	}
	return out
}
