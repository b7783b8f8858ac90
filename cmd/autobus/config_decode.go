// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/autobus-io/autobus"
)

func valueOf[C any](c *C) reflect.Value { return reflect.ValueOf(c).Elem() }

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
		p.spoiled[path] = true
		p.atNode(n, "%s must be keys with values", orConfig(path)).next("write one key: value a line, indented below")
	case v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			p.decode(item, fmt.Sprintf("%s[%d]", path, i), out.Index(i))
		}
		v.Set(out)
	case n.Kind != yaml.ScalarNode:
		p.spoiled[path] = true
		p.atNode(n, "%s must be %s", path, wanted(v)).next("write it as %s", sample(v))
	case v.Kind() == reflect.Slice || !setScalar(v, n.Value):
		p.spoiled[path] = true
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
			if near := autobus.Near(key.Value, names, 1); len(near) > 0 {
				f.next("did you mean %s?", join(path, near[0]))
				if seen[near[0]] == 0 {
					p.spoiled[join(path, near[0])] = true // its default is not what somebody wants
				}
			} else {
				f.next("the keys here are %s", strings.Join(names, ", "))
			}
			continue
		case twice:
			p.atNode(key, "%s is set twice, first on line %d", at, first).next("keep one of them")
		}
		seen[key.Value] = key.Line
		delete(p.spoiled, at)
		p.places[at] = p.placeOf(value)
		if value.Kind == yaml.MappingNode {
			p.places[at] = p.placeOf(key) // what is missing below it is missing from the key
		}
		p.decode(value, at, field)
	}
}

// listed reports whether v is a list of things with keys of their own, which no variable can hold.
func listed(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct
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

// Beginnings of the variables of a configuration.
const (
	serveVariables  = "AUTOBUS_"
	outboxVariables = "AUTOBUS_OUTBOX_"
)

// envName is the variable of a path: kafka.sasl.user is AUTOBUS_KAFKA_SASL_USER.
func envName(prefix, path string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// readEnv takes the variables of the keys. One that is empty is as good as absent.
func (p *problems) readEnv(prefix string, c reflect.Value) {
	var names []string
	leaves("", c, func(path string, v reflect.Value) {
		if listed(v) {
			return
		}
		names = append(names, envName(prefix, path))
		if text := os.Getenv(envName(prefix, path)); text != "" {
			p.set(path, envName(prefix, path), text, v)
		}
	})
	for _, variable := range os.Environ() {
		name, text, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, prefix) && text != "" && !slices.Contains(names, name) &&
			!elsewhere(prefix, name, text) {
			p.unknownVariable(prefix, name, names)
		}
	}
}

func (p *problems) unknownVariable(prefix, name string, names []string) {
	f := &fault{place: place{text: name}, message: "there is no such variable"}
	p.list = append(p.list, f)
	// Without what all of them begin with, or every name would be near to every other.
	var ends []string
	for _, n := range names {
		ends = append(ends, strings.TrimPrefix(n, prefix))
	}
	if near := autobus.Near(strings.TrimPrefix(name, prefix), ends, 1); len(near) > 0 {
		f.next("did you mean %s%s?", prefix, near[0])
	} else {
		f.next("remove it; the variables are in docs/reference/")
	}
}

// elsewhere reports whether a variable is none of the configuration's: the commands and the tests have their own, and
// an orchestrator tells where a service named autobus is, such as AUTOBUS_SERVICE_HOST or AUTOBUS_PORT_7070_TCP.
func elsewhere(prefix, name, text string) bool {
	switch name {
	case "AUTOBUS_SERVER", "AUTOBUS_TOKEN", "AUTOBUS_TOKEN_FILE", "AUTOBUS_CONFIG", "AUTOBUS_OUTBOX_CONFIG":
		return true
	}
	if prefix != outboxVariables && strings.HasPrefix(name, outboxVariables) {
		return true
	}
	_, behind, port := strings.Cut(name, "_PORT")
	return strings.HasPrefix(name, "AUTOBUS_TEST_") || strings.HasSuffix(name, "_SERVICE_HOST") ||
		strings.Contains(name, "_SERVICE_PORT") || port && (strings.Contains(behind, "_TCP") ||
		strings.Contains(behind, "_UDP") || strings.Contains(text, "://"))
}

// flagName is the flag of a path, where it has one: log.level is --log-level.
func flagName(path string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(path) }

func (p *problems) readFlags(c reflect.Value, flags flagValues) {
	leaves("", c, func(path string, v reflect.Value) {
		if text, ok := flags[path]; ok {
			p.set(path, "--"+flagName(path), text, v)
		}
	})
}

func (p *problems) set(path, from, text string, v reflect.Value) {
	p.places[path] = place{text: from}
	delete(p.spoiled, path) // what this source says is another value
	if !setScalar(v, text) {
		p.at(path, "%q must be %s", text, wanted(v)).next("write it as %s", sample(v))
	}
}
