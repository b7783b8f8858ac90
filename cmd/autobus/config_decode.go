// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

func valueOf(c *config) reflect.Value { return reflect.ValueOf(c).Elem() }

// fieldsOf gives the keys of a struct of the configuration in their order.
func fieldsOf(v reflect.Value) (names []string, fields map[string]reflect.Value) {
	fields = map[string]reflect.Value{}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		names = append(names, name)
		fields[name] = v.Field(i)
	}
	return names, fields
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// decode puts a node into v and remembers where each value stands, so that a later check can point at it.
func (p *problems) decode(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if _, seen := p.places[path]; !seen {
		p.places[path] = p.placeOf(n)
	}
	null := n.Kind == yaml.ScalarNode && n.Tag == "!!null"
	switch {
	case null: // a key without a value keeps its default
	case v.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		p.decodeStruct(n, path, v)
	case v.Kind() == reflect.Struct:
		p.atNode(n, "%s must be keys with values", orConfig(path)).next("write one key: value a line, indented below")
	case v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			p.decode(item, fmt.Sprintf("%s[%d]", path, i), out.Index(i))
		}
		v.Set(out)
	case n.Kind != yaml.ScalarNode:
		p.atNode(n, "%s must be %s", path, wanted(v)).next("write it as %s", sample(v))
	case v.Kind() == reflect.Slice || !setScalar(v, n.Value):
		p.atNode(n, "%s is %q, must be %s", path, n.Value, wanted(v)).next("write it as %s", sample(v))
	}
}

func orConfig(path string) string {
	if path == "" {
		return "the configuration"
	}
	return path
}

func (p *problems) decodeStruct(n *yaml.Node, path string, v reflect.Value) {
	names, fields := fieldsOf(v)
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		field, known := fields[key.Value]
		switch first, twice := seen[key.Value]; {
		case !known:
			f := p.atNode(key, "there is no key %s", at)
			if near := nearest(key.Value, names); near != "" {
				f.next("did you mean %s?", join(path, near))
			} else {
				f.next("the keys here are %s", strings.Join(names, ", "))
			}
			continue
		case twice:
			p.atNode(key, "%s is set twice, first on line %d", at, first).next("keep one of them")
		}
		seen[key.Value] = key.Line
		p.places[at] = p.placeOf(value)
		if value.Kind == yaml.MappingNode {
			p.places[at] = p.placeOf(key) // what is missing below it is missing from the key
		}
		p.decode(value, at, field)
	}
}

// leaves calls f for every value of the configuration with its path.
func leaves(path string, v reflect.Value, f func(path string, v reflect.Value)) {
	if v.Kind() != reflect.Struct {
		f(path, v)
		return
	}
	names, fields := fieldsOf(v)
	for _, name := range names {
		leaves(join(path, name), fields[name], f)
	}
}

// envName is the variable of a path: kafka.sasl.user is AUTOBUS_KAFKA_SASL_USER.
func envName(path string) string {
	return "AUTOBUS_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// readEnv takes the variables of known keys. Others are left alone: an orchestrator puts its own beside them, such as
// AUTOBUS_SERVICE_HOST for a service of that name.
func (p *problems) readEnv(c *config) {
	leaves("", valueOf(c), func(path string, v reflect.Value) {
		if text, ok := os.LookupEnv(envName(path)); ok && text != "" {
			p.set(path, envName(path), text, v)
		}
	})
}

// flagName is the flag of a path, where it has one: log.level is --log-level.
func flagName(path string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(path) }

func (p *problems) readFlags(c *config, flags flagValues) {
	leaves("", valueOf(c), func(path string, v reflect.Value) {
		if text, ok := flags[path]; ok {
			p.set(path, "--"+flagName(path), text, v)
		}
	})
}

func (p *problems) set(path, from, text string, v reflect.Value) {
	p.places[path] = place{text: from}
	if !setScalar(v, text) {
		p.at(path, "%q must be %s", text, wanted(v)).next("write it as %s", sample(v))
	}
}
