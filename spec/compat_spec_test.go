// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/spec"
)

// version is one version of the type shop.cart.filled.v1; what is empty has the value that stays.
type version struct {
	number, level, key, schema, bindings, info string
}

const cartSchema = `{type: object, required: [cart], properties: {cart: {type: string}, shop: {type: string}%s}}`

func (v version) snapshot(t *testing.T) *spec.Snapshot {
	t.Helper()
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	if v.level != "" {
		v.info += ", x-compatibility: " + v.level
	}
	files := spec.Files{
		"events/shop/cart.filled.v1.yaml": fmt.Appendf(nil, `asyncapi: 3.1.0
info: {title: shop.cart.filled, version: %s, x-owner: shop%s}
channels:
  filled:
    address: shop.cart.filled.v1
    messages: {filled: {$ref: '#/components/messages/filled'}}
    bindings: {kafka: {%s, bindingVersion: 0.5.0}}
components:
  messages:
    filled:
      bindings: {kafka: {key: {type: string, x-from: %s}, bindingVersion: 0.5.0}}
      payload: %s
`, or(v.number, "1.0.0"), v.info, or(v.bindings, "partitions: 3"), or(v.key, "/cart"), or(v.schema, with(""))),
		"services/billing.yaml": []byte(`asyncapi: 3.1.0
info: {title: billing, version: 1.0.0}
channels: {filled: {$ref: '../events/shop/cart.filled.v1.yaml#/channels/filled'}}
operations:
  on: {action: receive, channel: {$ref: '#/channels/filled'}, bindings: {kafka: {groupId: {type: string, const: bill}}}}
`)}
	if strings.Contains(v.info, "unread") {
		delete(files, "services/billing.yaml")
	}
	s, err := spec.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// with is the schema of the cart with more properties.
func with(properties string) string {
	if properties != "" {
		properties = ", " + properties
	}
	return fmt.Sprintf(cartSchema, properties)
}

// TestSpecRules holds two or more versions of a type against each other. broken lists the kinds that break somebody.
func TestSpecRules(t *testing.T) {
	note, noteNumber := with("note: {type: string}"), with("note: {type: number}")
	short, long := with("note: {type: string, maxLength: 5}"), with("note: {type: string, maxLength: 9}")
	for _, c := range []struct {
		name     string
		versions []version
		broken   string
	}{
		{"nothing changes", []version{{}, {}}, ""},
		{"an optional property is a minor version", []version{{}, {number: "1.1.0", schema: note}}, ""},
		{"an optional property is no patch", []version{{}, {number: "1.0.1", schema: note}}, "VERSION_RAISED_TOO_LITTLE"},
		{"an optional property is a version", []version{{}, {schema: note}}, "VERSION_NOT_RAISED"},
		{"a description is a version", []version{{}, {info: ", description: Filled."}}, "VERSION_NOT_RAISED"},
		{"a description is a patch", []version{{}, {number: "1.0.1", info: ", description: Filled."}}, ""},
		{"an annotation is a patch", []version{{schema: note},
			{number: "1.0.1", schema: with("note: {type: string, x-pii: name}")}}, ""},
		{"a version goes back", []version{{number: "1.2.0"}, {number: "1.1.9"}}, "VERSION_DECREASED"},
		{"a required property", []version{{},
			{number: "1.1.0", schema: strings.Replace(note, "[cart]", "[cart, note]", 1)}},
			"REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"},
		{"a wider limit breaks the reader's column", []version{{schema: short}, {number: "1.1.0", schema: long}},
			"MAX_LENGTH_DECREASED"},
		{"a wider limit is BACKWARD", []version{{level: "BACKWARD", schema: short},
			{level: "BACKWARD", number: "1.1.0", schema: long}}, ""},
		{"the level counts that was promised", []version{{schema: short}, {level: "NONE", number: "1.1.0", schema: long}},
			"MAX_LENGTH_DECREASED"},
		{"a value of a closed enum", []version{{schema: with("s: {type: string, enum: [a]}")},
			{number: "1.1.0", schema: with("s: {type: string, enum: [a, b]}")}}, "ENUM_ARRAY_NARROWED"},
		{"a value of an extensible enum", []version{{schema: with("s: {type: string, enum: [a], x-extensible: true}")},
			{number: "1.1.0", schema: with("s: {type: string, enum: [a, b], x-extensible: true}")}}, ""},
		{"the key moves", []version{{}, {number: "1.1.0", key: "/shop"}}, "KEY_CHANGED"},
		{"partitions", []version{{}, {bindings: "partitions: 6"}}, "PARTITIONS_CHANGED"},
		{"partitions where nobody counts on order", []version{{info: ", x-unordered: true"},
			{info: ", x-unordered: true", bindings: "partitions: 6"}}, ""},
		{"the hash", []version{{}, {info: ", x-partitioner: sarama"}}, "PARTITIONER_CHANGED"},
		{"compaction", []version{{}, {bindings: "topicConfiguration: {cleanup.policy: [compact]}"}},
			"CLEANUP_POLICY_CHANGED"},
		{"the same policy in words", []version{{}, {bindings: "topicConfiguration: {cleanup.policy: [delete]}"}}, ""},
		{"shorter retention", []version{{bindings: "topicConfiguration: {retention.ms: -1}"},
			{bindings: "topicConfiguration: {retention.ms: 1000}"}}, "RETENTION_REDUCED"},
		{"longer retention", []version{{bindings: "topicConfiguration: {retention.ms: 1000}"},
			{bindings: "topicConfiguration: {retention.ms: -1}"}}, ""},
		{"shorter retention of what nobody reads", []version{{info: ", x-note: unread",
			bindings: "topicConfiguration: {retention.ms: 2000}"}, {info: ", x-note: unread",
			bindings: "topicConfiguration: {retention.ms: 1000}"}}, ""},
		{"smaller events", []version{{}, {bindings: "topicConfiguration: {max.message.bytes: 5000}"}},
			"MAX_EVENT_BYTES_REDUCED"},
		{"a property returns as another", []version{{level: "BACKWARD", schema: note}, {level: "BACKWARD", number: "1.1.0"},
			{level: "BACKWARD", number: "1.2.0", schema: noteNumber}}, "PROPERTY_REDEFINED"},
		{"a property returns as it was", []version{{level: "BACKWARD", schema: note}, {level: "BACKWARD", number: "1.1.0"},
			{level: "BACKWARD", number: "1.2.0", schema: note}}, ""},
		{"the whole history counts", []version{{schema: with("n: {type: string}, o: {type: string}")},
			{number: "1.1.0", schema: with("n: {type: string}")},
			{number: "1.2.0", schema: with("n: {type: string}, o: {type: integer}")}},
			"TYPE_CHANGED PROPERTY_REDEFINED"},
		{"a step back", []version{{}, {number: "1.1.0", schema: note}, {}}, ""},
		{"a step back and forth", []version{{}, {number: "1.1.0", schema: note}, {}, {number: "1.1.0", schema: note}}, ""},
		{"a step back to what never was", []version{{}, {number: "1.2.0", schema: note}, {number: "1.1.0"}},
			"VERSION_DECREASED"},
		{"a step back that those who read meanwhile cannot follow", []version{{level: "BACKWARD", schema: short},
			{level: "BACKWARD", number: "1.1.0", schema: long}, {level: "BACKWARD", schema: short}}, "MAX_LENGTH_DECREASED"},
		{"a version twice", []version{{}, {number: "1.1.0", schema: note}, {}, {number: "1.1.0", schema: noteNumber}},
			"TYPE_CHANGED PROPERTY_REDEFINED VERSION_REUSED"},
	} {
		var history []*spec.Snapshot
		for _, v := range c.versions {
			history = append(history, v.snapshot(t))
		}
		last := len(history) - 1
		v := spec.CheckSpecs(history[:last], history[last], spec.CompatOptions{})
		var broken []string
		for _, f := range v.Changes {
			if f.Compatible {
				continue
			}
			if kind := string(f.Kind); !slices.Contains(broken, kind) {
				broken = append(broken, kind)
			}
			reads := slices.Contains(f.Hit, "subscription bill of billing")
			if f.Type != "shop.cart.filled.v1" || f.Message == "" || !slices.Contains(f.Hit, "owner shop") || !reads {
				t.Errorf("%s: %+v does not say whom it hits", c.name, f)
			}
		}
		if got := strings.Join(broken, " "); got != c.broken || v.Compatible != (c.broken == "") {
			t.Errorf("%s: breaks %q, want %q: %+v", c.name, got, c.broken, v.Changes)
		}
	}
}

// Of a version whose events are all gone the data need not be read any more, but its readers may be there still.
func TestVersionsWithoutEvents(t *testing.T) {
	short, long := with("note: {type: string, maxLength: 5}"), with("note: {type: string, maxLength: 9}")
	for _, c := range []struct {
		level            string
		first, last      string
		broken, andIfNot string
	}{
		{"BACKWARD_TRANSITIVE", long, short, "", "MAX_LENGTH_DECREASED"},
		{"FULL_TRANSITIVE", long, short, "", "MAX_LENGTH_DECREASED"},
		{"FULL_TRANSITIVE", short, long, "MAX_LENGTH_DECREASED", "MAX_LENGTH_DECREASED"},
		{"BACKWARD", long, short, "", ""},
	} {
		history := []*spec.Snapshot{version{level: c.level, schema: c.first}.snapshot(t),
			version{level: c.level, number: "1.1.0"}.snapshot(t)}
		newer := version{level: c.level, number: "1.2.0", schema: c.last}.snapshot(t)
		old, _ := history[0].Type("shop.cart.filled.v1")
		for gone, want := range map[bool]string{true: c.broken, false: c.andIfNot} {
			v := spec.CheckSpecs(history, newer, spec.CompatOptions{Gone: func(t *spec.Type) bool { return gone && t == old }})
			var broken []string
			for _, f := range v.Changes {
				if !f.Compatible {
					broken = append(broken, string(f.Kind))
				}
			}
			if got := strings.Join(broken, " "); got != want {
				t.Errorf("%s, %s then %s, gone %t: %q, want %q", c.level, c.first, c.last, gone, got, want)
			}
		}
	}
}

func TestTypesComeAndGo(t *testing.T) {
	for _, c := range []struct {
		lifecycle string
		want      bool
	}{{"active", false}, {"deprecated", false}, {"retired", true}, {"draft", true}} {
		s := version{info: ", x-lifecycle: " + c.lifecycle}.snapshot(t)
		v := spec.CheckSpecs([]*spec.Snapshot{s}, spec.Empty(), spec.CompatOptions{})
		if v.Compatible != c.want || len(v.Changes) != 1 || v.Changes[0].Kind != "TYPE_REMOVED" {
			t.Errorf("removing a type that is %s: %+v", c.lifecycle, v)
		}
		v = spec.CheckSpecs([]*spec.Snapshot{spec.Empty()}, s, spec.CompatOptions{})
		if !v.Compatible || len(v.Changes) != 1 || v.Changes[0].Kind != "TYPE_ADDED" {
			t.Errorf("adding a type: %+v", v)
		}
		v = spec.CheckSpecs([]*spec.Snapshot{s, spec.Empty()}, spec.Empty(), spec.CompatOptions{})
		if !v.Compatible || len(v.Changes) != 0 {
			t.Errorf("a type that went before goes again: %+v", v)
		}
	}
}

// entangled is a schema of n schemas, each a union of all.
func entangled(n int, leaf string) []byte {
	var defs, branches []string
	for i := range n {
		branches = append(branches, fmt.Sprintf(`{"properties":{"k":{"const":%d},"v":{"$ref":"#/definitions/D%d"}}}`, i, i))
	}
	for i := range n {
		defs = append(defs, fmt.Sprintf(`"D%d":{"anyOf":[%s,{"type":%q}]}`, i, strings.Join(branches, ","), leaf))
	}
	return fmt.Appendf(nil, `{"$ref":"#/definitions/D0","definitions":{%s}}`, strings.Join(defs, ","))
}

// Schemas that lead everywhere are compared in bounded time, and what was not reached counts as incompatible.
func TestEntangledSchemas(t *testing.T) {
	for n, want := range map[int]spec.ChangeKind{6: "TYPE_CHANGED", 25: "NOT_COMPARED"} {
		changes, err := spec.CompareSchemas(entangled(n, "string"), entangled(n, "number"), spec.PolicyStrict)
		found := slices.ContainsFunc(changes, func(c spec.Change) bool { return c.Kind == want })
		if err != nil || !found || len(changes) > 200 {
			t.Errorf("%d schemas: %d changes, %v; %s is among them: %t", n, len(changes), err, want, found)
		}
		same, err := spec.CompareSchemas(entangled(n, "string"), entangled(n, "string"), spec.PolicyStrict)
		if err != nil || len(same) > 0 {
			t.Errorf("%d schemas: %v, %v", n, same, err)
		}
	}
}

// What cannot be read is an error that says why; so is what would never end.
func TestUnreadableSchemas(t *testing.T) {
	for schema, want := range map[string]string{
		`{`:                                     "not JSON",
		`{} {}`:                                 "something follows",
		`3`:                                     "must be an object, true or false",
		`{"items":3}`:                           "#/items: a schema must be",
		`{"$ref":"#/x"}`:                        "leads nowhere",
		`{"$ref":"http://elsewhere.example/x"}`: "leads out of the schema",
		`{"$ref":"#/a","a":{"$ref":"#/b"},"b":{"$ref":"#/a"}}`: "in a circle",
		`{"minimum":1e999999999}`:                              "out of bounds",
	} {
		_, err := spec.CompareSchemas([]byte(`{}`), []byte(schema), spec.PolicyStrict)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", schema, err, want)
		}
	}
}
