// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
)

// ImportOptions say what a foreign schema becomes.
type ImportOptions struct {
	Type    string // the event type, orders.order.placed.v1
	Owner   string // x-owner
	Pointer string // JSON pointer to the schema within its file, "" = all of it
	Key     string // JSON pointer to the partition key within the data, "" = none, which is waived
}

// Import is a spec made from a foreign schema.
type Import struct {
	File    string   // where it belongs in the repository
	Content []byte   // YAML
	Waived  []string // ids of the rules that it does not follow; their waivers are written down in it
	Left    []string // what could not be taken over, and was left out: the data passes without it
}

// ImportSchema makes a spec of a JSON Schema, draft 4 to 2020-12, that was not written for the bus: as it is, with all
// that it refers to in one file, open writers and formats that are mere annotations. read gives the files that the
// schema refers to, by slash-separated names; the network is never asked. repo is where the spec will be: the error is
// Problems if it could not be loaded there, else it has the reason spec_invalid.
func ImportSchema(repo Files, read func(name string) ([]byte, error), file string, o ImportOptions) (*Import, error) {
	if !autobus.ValidType(o.Type) {
		return nil, autobus.NewError(autobus.ReasonTypeInvalid, "%s is not a legal event type: %s",
			shorten(o.Type, maxValue), whyInvalid(o.Type))
	}
	m := &importer{parser: parse(nil), read: read, names: map[string]string{}, taken: map[string]bool{},
		ids: map[string]place{}}
	root, err := m.open(file, o.Pointer)
	if err != nil {
		return nil, err
	}
	name := typeTitle(o.Type)
	schemas, err := m.schemas(root, name)
	if err != nil {
		return nil, err
	}
	domain, rest, _ := strings.Cut(o.Type, ".")
	out := &Import{File: "events/" + domain + "/" + rest + ".yaml", Left: m.left}
	doc := importedDocument{ImportOptions: o, name: name, schemas: schemas, from: "Taken over as it is from " + file + "."}
	if text := root.node.str("description"); utf8.RuneCountInString(text) >= minDescription {
		doc.from = text
	}
	return out, doc.settle(repo, out)
}

// settle adds an example, if one can be made, and a waiver for each rule that the spec does not follow.
func (d *importedDocument) settle(repo Files, out *Import) error {
	files := maps.Clone(repo)
	if files == nil {
		files = Files{}
	}
	files[out.File] = d.yaml()
	if problems := parse(files).problems.in(out.File); len(problems) > 0 {
		return problems
	}
	snapshot := newSnapshot(parse(files).types, nil)
	if t, ok := snapshot.Type(d.Type); ok {
		d.example, _ = t.Example()
	}
	files[out.File] = d.yaml()
	for _, f := range Lint(files, LintOptions{}) {
		if f.File == out.File && f.Severity != SeverityHint && f.Waived == "" && !slices.Contains(out.Waived, f.Rule) {
			out.Waived = append(out.Waived, f.Rule)
		}
	}
	slices.Sort(out.Waived)
	d.waived = out.Waived
	out.Content = d.yaml()
	return nil
}

// in are the problems of one file.
func (ps Problems) in(file string) Problems {
	var out Problems
	for _, p := range ps {
		if p.File == file {
			out = append(out, p)
		}
	}
	return out.sorted()
}

// importedDocument is what becomes the spec's file.
type importedDocument struct {
	ImportOptions
	name    string // of the message and its schema
	schemas *node
	from    string
	example []byte
	waived  []string
}

func (d *importedDocument) yaml() []byte {
	title := d.Type[:strings.LastIndex(d.Type, ".v")]
	major := d.Type[strings.LastIndex(d.Type, ".v")+2:]
	info := obj("title", text0(title), "version", text0(major+".0.0"), "description", text0(d.from),
		"contact", obj("name", text0(d.Owner)),
		"tags", arr(obj("name", text0("kind:event")), obj("name", text0("domain:"+strings.Split(d.Type, ".")[0]))),
		"x-owner", text0(d.Owner), "x-lifecycle", text0("active"), "x-writers", text0("open"),
		"x-formats", text0("annotate"))
	if len(d.waived) > 0 {
		reasons := obj()
		for _, id := range d.waived {
			reasons.set(id, text0("a foreign schema, taken over as it is"))
		}
		info.set("x-lint-ignore", reasons)
	}
	message := obj("name", text0(d.name))
	if d.Key != "" {
		message.set("bindings", obj("kafka", obj("key", obj("type", text0("string"), "x-from", text0(d.Key)),
			"bindingVersion", text0("0.5.0"))))
	}
	message.set("payload", obj("$ref", text0("#/components/schemas/"+d.name)))
	if n, err := jsonNode(d.example); err == nil && len(d.example) > 0 {
		message.set("examples", arr(obj("name", text0("generated"), "payload", n)))
	}
	channel := lastPart(d.Type)
	doc := obj("asyncapi", text0(asyncAPIVersion), "id", text0("urn:event:"+d.Type), "info", info,
		"channels", obj(channel, obj("address", text0(d.Type),
			"messages", obj(channel, obj("$ref", text0("#/components/messages/"+channel))))),
		"operations", obj("publish", obj("action", text0("send"),
			"channel", obj("$ref", text0("#/channels/"+channel)))),
		"components", obj("messages", obj(channel, message), "schemas", d.schemas))
	return doc.yaml()
}

// typeTitle is a name for the message of a type: OrderPlaced.
func typeTitle(name string) string {
	var b strings.Builder
	parts := splitName(name)
	for _, part := range parts[min(1, len(parts)-1):] {
		for word := range strings.SplitSeq(part, "-") {
			if word != "" {
				b.WriteString(strings.ToUpper(word[:1]) + word[1:])
			}
		}
	}
	return b.String()
}

// readError says that a file of a schema cannot be used.
func readError(file string, err error) error {
	return autobus.NewError(autobus.ReasonSpecInvalid, "the schema %s cannot be read: %v", file, err).
		WithHint("Give a JSON Schema, draft 4 to 2020-12, as JSON or YAML, with the files that it refers to beside it.").
		WithCause(err)
}

// schemaNode reads a schema file, JSON or YAML.
func schemaNode(file string, data []byte) (*node, error) {
	if n, err := jsonNode(data); err == nil {
		return n, nil
	} else if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' && strings.HasSuffix(file, ".json") {
		return nil, readError(file, err)
	}
	var fault error
	n := load(data, func(pos position, _, message string) {
		if fault == nil {
			fault = fmt.Errorf("line %d: %s", pos.line, message)
		}
	})
	if fault != nil || n == nil {
		return nil, readError(file, fault)
	}
	return n, nil
}
