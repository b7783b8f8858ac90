// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// bundle writes the schema at p as one JSON document: everything it refers to, in this file or another, becomes an
// entry of definitions. Names for base addresses ($id, $schema) fall away, since references go by files here. An error
// has been reported.
func (r *parser) bundle(p place) (json.RawMessage, error) {
	p, err := r.resolve(p)
	if err != nil {
		return nil, err
	}
	out, defs := &bytes.Buffer{}, &bytes.Buffer{}
	b := bundler{r: r, out: out, refs: map[string]string{p.id(): "#"}, taken: map[string]bool{}}
	b.schema(p)
	b.out = defs
	for i := 0; i < len(b.queue); i++ {
		fmt.Fprintf(defs, ",%q:", b.queue[i].name)
		b.schema(b.queue[i].place)
	}
	if defs.Len() > 0 {
		out.Truncate(out.Len() - 1) // the closing brace
		fmt.Fprintf(out, `,"definitions":{%s}}`, defs.Bytes()[1:])
	}
	return out.Bytes(), b.err
}

type bundler struct {
	r     *parser
	out   *bytes.Buffer     // where the schema at hand goes
	refs  map[string]string // id of a place -> the reference to it inside the bundle
	taken map[string]bool
	queue []definition
	err   error
}

type definition struct {
	name  string
	place place
}

// schema writes one schema.
func (b *bundler) schema(p place) {
	if p.node.form != object {
		p.node.json(b.out)
		return
	}
	if _, ok := p.node.ref(); ok {
		b.reference(p)
		return
	}
	b.out.WriteByte('{')
	comma := ""
	for _, k := range p.node.keys {
		switch k.name {
		case "$id", "$schema", "definitions":
			continue
		}
		b.out.WriteString(comma)
		comma = ","
		writeString(b.out, k.name)
		b.out.WriteByte(':')
		b.keyword(k.name, p.child(k.name))
	}
	b.out.WriteByte('}')
}

func (b *bundler) keyword(name string, p place) {
	switch name {
	case "additionalProperties", "additionalItems", "contains", "not", "if", "then", "else", "propertyNames":
		b.schema(p)
	case "items", "allOf", "anyOf", "oneOf":
		b.schemas(p)
	case "patternProperties":
		for _, k := range p.node.keys {
			b.pattern(p.child(k.name), k.name)
		}
		b.named(p)
	case "properties", "dependencies":
		b.named(p)
	case "pattern":
		b.pattern(p, p.node.value)
		p.node.json(b.out)
	default:
		p.node.json(b.out)
	}
}

// pattern refuses what would be slow to match, before anything compiles it.
func (b *bundler) pattern(p place, pattern string) {
	if len(pattern) > maxPatternBytes {
		b.r.report(p, "Write a shorter one, or list the values in enum.", "a pattern of %d bytes; at most %d are allowed",
			len(pattern), maxPatternBytes)
		b.err = errElsewhere
	}
}

// schemas writes a list of schemas, or the one schema that items may be.
func (b *bundler) schemas(p place) {
	if p.node.form != list {
		b.schema(p)
		return
	}
	b.out.WriteByte('[')
	for i := range p.node.values {
		if i > 0 {
			b.out.WriteByte(',')
		}
		b.schema(p.child(fmt.Sprint(i)))
	}
	b.out.WriteByte(']')
}

// named writes schemas by name.
func (b *bundler) named(p place) {
	if p.node.form != object {
		p.node.json(b.out)
		return
	}
	b.out.WriteByte('{')
	for i, k := range p.node.keys {
		if i > 0 {
			b.out.WriteByte(',')
		}
		writeString(b.out, k.name)
		b.out.WriteByte(':')
		b.schema(p.child(k.name))
	}
	b.out.WriteByte('}')
}

func (b *bundler) reference(p place) {
	to, err := b.r.resolve(p)
	if err != nil {
		b.err = err
		b.out.WriteString("true")
		return
	}
	ref, known := b.refs[to.id()]
	if !known {
		name := b.name(to)
		ref = "#/definitions/" + name
		b.refs[to.id()] = ref
		b.queue = append(b.queue, definition{name, to})
	}
	fmt.Fprintf(b.out, `{"$ref":%q}`, ref)
}

// name gives a definition the last step of its place, with a number where two are the same.
func (b *bundler) name(p place) string {
	base := "schema"
	if len(p.path) > 0 {
		base = strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
				return c
			}
			return '_'
		}, p.path[len(p.path)-1])
	}
	name := base
	for i := 2; b.taken[name]; i++ {
		name = fmt.Sprintf("%s%d", base, i)
	}
	b.taken[name] = true
	return name
}
