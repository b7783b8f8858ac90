// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// reader walks a YAML document and gathers what is wrong with it, each fault with its line.
type reader struct {
	file   string
	faults spec.Problems
}

func (r *reader) fault(n *yaml.Node, hint, format string, args ...any) {
	r.faults = append(r.faults, problem(r.file, n.Line, hint, format, args...))
}

// keys hands each value of a mapping to the function of its key. Unknown and repeated keys are faults.
func (r *reader) keys(n *yaml.Node, what string, known map[string]func(*yaml.Node)) {
	names := slices.Sorted(maps.Keys(known))
	r.each(n, what, func(key, value *yaml.Node) {
		if read, ok := known[key.Value]; ok {
			read(value)
			return
		}
		hint := "The keys here are " + strings.Join(names, ", ") + "."
		if near := autobus.Near(key.Value, names, 1); len(near) > 0 {
			hint = "Did you mean " + near[0] + "?"
		}
		r.fault(key, hint, "%s has no key %s", what, key.Value)
	})
}

// each calls f for the keys of a mapping in their order, once for each.
func (r *reader) each(n *yaml.Node, what string, f func(key, value *yaml.Node)) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		r.fault(n, "Write one key: value a line, indented below.", "%s must be keys with values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			r.fault(key, "Keep one of them.", "%s has the key %s twice", what, key.Value)
			continue
		}
		seen[key.Value] = true
		f(key, resolved(n.Content[i+1]))
	}
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (r *reader) text(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			r.fault(n, "Write a text.", "the value must be a text")
			return
		}
		*into = n.Value
	}
}

func (r *reader) texts(into *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
			*into = []string{n.Value}
			return
		}
		if n.Kind != yaml.SequenceNode {
			r.fault(n, "Write [a, b].", "the value must be a list")
			return
		}
		for _, item := range n.Content {
			var s string
			r.text(&s)(resolved(item))
			*into = append(*into, s)
		}
	}
}

func (r *reader) number(into *int, least int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := strconv.Atoi(n.Value)
		if err != nil || v < least {
			r.fault(n, "Write a number of at least "+strconv.Itoa(least)+".", "%q is no such number", n.Value)
			return
		}
		*into = v
	}
}

func (r *reader) duration(into *time.Duration, least time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := time.ParseDuration(n.Value)
		if err != nil || v < least {
			r.fault(n, "Write a duration of at least "+least.String()+", such as 10s.", "%q is no such duration", n.Value)
			return
		}
		*into = v
	}
}

func (r *reader) oneOf(into *string, allowed ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if !slices.Contains(allowed, n.Value) {
			r.fault(n, "Write one of "+strings.Join(allowed, ", ")+".", "%q is not known", n.Value)
			return
		}
		*into = n.Value
	}
}
