// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// ExportAsyncAPI writes types of a snapshot as one AsyncAPI 3.1 document that refers to no other file, for catalogues
// and tools that read nothing else: YAML, or JSON.
func ExportAsyncAPI(types []*Type, title string, asJSON bool) ([]byte, error) {
	m := &importer{parser: parse(nil), names: map[string]string{}, taken: map[string]bool{}}
	channels, operations, schemas := obj(), obj(), obj()
	for _, t := range types {
		channels.set(t.Name, t.channel())
		operations.set(t.Name+".send", obj("action", text0("send"), "channel", obj("$ref", text0("#/channels/"+t.Name))))
		if t.ContentType != "" {
			continue
		}
		n, err := jsonNode(t.Schema)
		if err != nil {
			return nil, fmt.Errorf("the schema of %s: %w", t.Name, err)
		}
		m.docs[t.Name] = n
		own, err := m.schemas(place{file: t.Name, node: n}, t.Name)
		if err != nil {
			return nil, err
		}
		for i, k := range own.keys {
			schemas.set(k.name, own.values[i])
		}
	}
	doc := obj("asyncapi", text0(asyncAPIVersion), "info", obj("title", text0(title), "version", text0("1.0.0")),
		"channels", channels, "operations", operations, "components", obj("schemas", schemas))
	if asJSON {
		var b bytes.Buffer
		err := json.Indent(&b, doc.raw(), "", "  ")
		return b.Bytes(), err
	}
	return doc.yaml(), nil
}

// channel is what a document says of the type's topic and message.
func (t *Type) channel() *node {
	message := obj("name", text0(typeTitle(t.Name)), "title", text0(t.Title), "description", text0(t.Description),
		"tags", arr(obj("name", text0("kind:"+t.Kind))))
	if t.ContentType != "" {
		message.set("contentType", text0(t.ContentType))
	} else {
		message.set("contentType", text0("application/json"))
		message.set("payload", obj("$ref", text0("#/components/schemas/"+t.Name)))
	}
	if t.KeyPointer != "" {
		message.set("bindings", obj("kafka", obj("key", obj("type", arr(text0("string"), text0("integer")),
			"x-from", text0(t.KeyPointer)), "bindingVersion", text0("0.5.0"))))
	}
	if examples := t.exampleNodes(); len(examples.values) > 0 {
		message.set("examples", examples)
	}
	ch := obj("address", text0(t.Name), "messages", obj("event", message), "x-version", text0(t.Version),
		"x-owner", text0(t.Owner), "x-lifecycle", text0(t.Lifecycle), "x-compatibility", text0(string(t.Compatibility)))
	kafka := obj()
	if t.Partitions > 0 {
		kafka.set("partitions", &node{text: fmt.Sprint(t.Partitions)})
	}
	if t.Replicas > 0 {
		kafka.set("replicas", &node{text: fmt.Sprint(t.Replicas)})
	}
	kafka.set("bindingVersion", text0("0.5.0"))
	settings := obj()
	for _, name := range slices.Sorted(maps.Keys(t.Configs)) {
		settings.set(name, text0(t.Configs[name]))
	}
	if len(settings.keys) > 0 {
		ch.set("x-topic-configuration", settings)
	}
	ch.set("bindings", obj("kafka", kafka))
	return ch
}

func (t *Type) exampleNodes() *node {
	out := arr()
	for _, raw := range t.Examples {
		if n, err := jsonNode(raw); err == nil {
			out.values = append(out.values, obj("payload", n))
		}
	}
	return out
}
