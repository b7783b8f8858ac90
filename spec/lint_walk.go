// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strconv"
	"strings"
)

// schemaAt is a schema of a payload and how it is reached first. References are followed: a schema that is shared is
// looked at once, a property each time it is declared.
type schemaAt struct {
	place               // of the schema itself, never of a reference
	declared  place     // where it is named: the property, the item, the branch; the place of a reference too
	name      string    // of the property, "" for items, branches and whole payloads
	required  bool      // the property is
	in        *schemaAt // the schema that has it as a property, item or branch; nil for a whole payload
	spec      *specAt   // the first type that has it
	reference bool      // declared is a reference
	branch    bool      // it judges the same value as in
}

func itoa(i int) string { return strconv.Itoa(i) }

// says returns a keyword of the schema.
func (s *schemaAt) says(keyword string) *node { return s.node.get(keyword) }

// has reports whether the schema allows a type by name.
func (s *schemaAt) has(kind string) bool { return slices.Contains(typesOf(s.node), kind) }

// flag reports whether a schema says keyword: true.
func (s *schemaAt) flag(keyword string) bool {
	n := s.says(keyword)
	return n != nil && n.form == literal && n.text == "true"
}

// typesOf are the types that a schema names.
func typesOf(n *node) []string {
	t := n.get("type")
	switch {
	case t == nil:
		return nil
	case t.form == str:
		return []string{t.value}
	}
	var out []string
	for _, v := range t.values {
		out = append(out, v.value)
	}
	return out
}

// words are the strings of a list.
func words(n *node) []string {
	if n == nil {
		return nil
	}
	var out []string
	for _, v := range n.values {
		out = append(out, v.value)
	}
	return out
}

// schemaCollector collects the schemas of payloads.
type schemaCollector struct {
	l       *linter
	schemas map[string]*schemaAt
	fields  map[string]bool
}

// message collects the payload of a message and gives its place.
func (w *schemaCollector) message(s *specAt, msg place) place {
	p, err := (&reader{parser: w.l.parser, message: msg}).payload()
	if err != nil || p.node == nil {
		return place{}
	}
	w.visit(&schemaAt{declared: p, spec: s}, p, nil)
	return p
}

// visit collects what stands at p and below; s says how it was reached. Fields named in required are.
func (w *schemaCollector) visit(s *schemaAt, p place, required []string) {
	_, s.reference = p.node.ref()
	to, err := w.l.resolve(p)
	if err != nil || to.node == nil || to.node.form != object {
		return
	}
	s.place = to
	if s.name != "" && !w.fields[s.declared.id()] {
		w.fields[s.declared.id()] = true
		w.l.fields = append(w.l.fields, s)
	}
	if w.schemas[to.id()] != nil {
		return
	}
	w.schemas[to.id()] = s
	w.l.schemas = append(w.l.schemas, s)
	w.below(s, append(slices.Clip(required), words(to.node.get("required"))...))
}

func (w *schemaCollector) below(s *schemaAt, required []string) {
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		branches := s.child(keyword)
		if branches.node == nil {
			continue
		}
		for i := range branches.node.values {
			at := branches.child(itoa(i))
			w.visit(&schemaAt{declared: at, in: s, spec: s.spec, branch: true}, at, required)
			if to, err := w.l.resolve(at); err == nil && keyword == "allOf" {
				required = append(required, words(to.node.get("required"))...)
			}
		}
	}
	for _, keyword := range []string{"items", "additionalProperties", "not", "if", "then", "else", "contains"} {
		if at := s.child(keyword); at.node != nil {
			w.visit(&schemaAt{declared: at, in: s, spec: s.spec}, at, nil)
		}
	}
	properties := s.child("properties")
	if properties.node == nil || properties.node.form != object {
		return
	}
	for _, k := range properties.node.keys {
		at := properties.child(k.name)
		w.visit(&schemaAt{declared: at, name: k.name, required: slices.Contains(required, k.name), in: s, spec: s.spec},
			at, nil)
	}
}

// topFields are the properties of a schema itself, those of its allOf too.
func (l *linter) topFields(s *specAt, p place) []*schemaAt {
	return l.fieldsOf(s, p, nil, map[string]bool{})
}

func (l *linter) fieldsOf(s *specAt, p place, required []string, seen map[string]bool) []*schemaAt {
	p, err := l.resolve(p)
	if err != nil || p.node == nil || seen[p.id()] {
		return nil
	}
	seen[p.id()] = true
	required = append(slices.Clip(required), words(p.node.get("required"))...)
	var out []*schemaAt
	if properties := p.child("properties"); properties.node != nil {
		for _, k := range properties.node.keys {
			at := properties.child(k.name)
			if to, err := l.resolve(at); err == nil {
				out = append(out, &schemaAt{place: to, declared: at, name: k.name, spec: s,
					required: slices.Contains(required, k.name)})
			}
		}
	}
	if all := p.child("allOf"); all.node != nil {
		for i := range all.node.values {
			out = append(out, l.fieldsOf(s, all.child(itoa(i)), required, seen)...)
		}
	}
	return out
}

// wordsOf splits a property's name where its writer began a new word: orderId, order_id and OrderID are order, id.
func wordsOf(name string) []string {
	var b strings.Builder
	runes := []rune(name)
	upper := func(i int) bool { return i >= 0 && i < len(runes) && runes[i] >= 'A' && runes[i] <= 'Z' }
	for i, r := range runes {
		if upper(i) && i > 0 && (!upper(i-1) || i+1 < len(runes) && !upper(i+1)) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.FieldsFunc(strings.ToLower(b.String()), func(r rune) bool { return r == ' ' || r == '_' || r == '-' })
}

// lastWord is the last word of a name, which says what it is.
func lastWord(name string) string {
	if ws := wordsOf(name); len(ws) > 0 {
		return ws[len(ws)-1]
	}
	return ""
}
