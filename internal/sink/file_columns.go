// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Metas are what a column can take from around the data: attributes of the event, and where its record stands. ext.NAME
// is an extension attribute.
func Metas() []string {
	return []string{"id", "source", "type", "subject", "time", "key", "data", "topic", "partition", "offset", "epoch",
		"recorded"}
}

const metaExt = "ext."

func (r *reader) columns(n *yaml.Node) (out []Column) {
	r.each(n, "columns", func(key, value *yaml.Node) {
		c := Column{Name: key.Value, Line: key.Line}
		if !columnName.MatchString(c.Name) {
			r.fault(key, "Use at most 48 of a-z, 0-9 and _, a letter first.", "%q cannot name a column", c.Name)
		}
		switch {
		case value.Tag == "!!null":
			c.Off = true
		case value.Kind == yaml.ScalarNode && strings.HasPrefix(value.Value, "/"):
			c.From = value.Value
		case value.Kind == yaml.ScalarNode:
			r.fault(value, "Write a JSON pointer such as /total, or {meta: time}, or {value: placed}.",
				"column %s: %q is no JSON pointer", c.Name, value.Value)
			return
		default:
			r.column(&c, value)
		}
		out = append(out, c)
	})
	return out
}

func (r *reader) column(c *Column, n *yaml.Node) {
	r.keys(n, "column "+c.Name, map[string]func(*yaml.Node){
		"from": r.text(&c.From), "meta": r.text(&c.Meta), "type": r.text(&c.Type), "unit": r.oneOf(&c.Unit, "s", "ms"),
		"value": func(v *yaml.Node) { r.text(&c.Value)(v); c.HasValue = true },
	})
	set := 0
	for _, given := range []bool{c.From != "", c.Meta != "", c.HasValue} {
		if given {
			set++
		}
	}
	switch {
	case set != 1:
		r.fault(n, "Say where its value comes from.", "column %s needs exactly one of from, meta and value", c.Name)
	case c.From != "" && !strings.HasPrefix(c.From, "/"):
		r.fault(n, "Write it as /total or /customer/name.", "column %s: %q is no JSON pointer", c.Name, c.From)
	case c.Meta != "" && !slices.Contains(Metas(), c.Meta) &&
		!(strings.HasPrefix(c.Meta, metaExt) && len(c.Meta) > len(metaExt)):
		r.fault(n, "Use one of "+strings.Join(Metas(), ", ")+", ext.NAME.", "column %s: there is no meta %s", c.Name, c.Meta)
	}
}

func (r *reader) children(n *yaml.Node) (out []Child) {
	r.each(n, "children", func(key, value *yaml.Node) {
		c := Child{Table: key.Value, Line: key.Line}
		if !tableName.MatchString(c.Table) {
			r.fault(key, "Write table or schema.table, in lower case.", "%q cannot name a table", c.Table)
		}
		r.reserved(key, c.Table)
		if value.Tag == "!!null" {
			c.Off = true
			out = append(out, c)
			return
		}
		r.keys(value, "child "+c.Table, map[string]func(*yaml.Node){
			"from":    r.text(&c.From),
			"columns": func(n *yaml.Node) { c.Columns = r.columns(n) },
		})
		if !strings.HasPrefix(c.From, "/") {
			r.fault(key, "Say from: /items.", "child %s: from is %q, no JSON pointer to an array", c.Table, c.From)
		}
		if len(c.Columns) == 0 {
			r.fault(key, "Name the columns of an item.", "child %s has no columns", c.Table)
		}
		out = append(out, c)
	})
	return out
}

func (r *reader) types(n *yaml.Node) (out []TypeEntry) {
	if n.Kind != yaml.SequenceNode {
		r.fault(n, "Write - type: orders.order.placed.v1, a line for each.", "types must be a list")
		return nil
	}
	for _, item := range n.Content {
		item = resolved(item)
		t := TypeEntry{Line: item.Line}
		if item.Kind == yaml.ScalarNode && item.Tag != "!!null" {
			t.Type = item.Value
		} else {
			r.keys(item, "a type", map[string]func(*yaml.Node){
				"type": r.text(&t.Type), "mode": r.oneOf(&t.Mode, ModeDelete), "version": r.text(&t.Version),
				"columns":  func(n *yaml.Node) { t.Columns = r.columns(n) },
				"children": func(n *yaml.Node) { t.Children = r.children(n) },
			})
		}
		if t.Type == "" {
			r.fault(item, "Say type: orders.order.placed.v1.", "a type without a name")
		}
		out = append(out, t)
	}
	return out
}
