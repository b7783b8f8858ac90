// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus"
)

// reader takes what a document says of one type.
type reader struct {
	*parser
	doc, channel, message place
	t                     *Type
}

// semver is MAJOR.MINOR.PATCH, in numbers of which one can be told from the next: what overflows cannot.
var semver = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})$`)

// info reads who owns the type and what it is.
func (d *reader) info() {
	t, info := d.t, d.doc.child("info")
	t.Title, t.Description = info.node.str("title"), info.node.str("description")
	t.Version, t.Owner = info.node.str("version"), info.node.str("x-owner")
	major := t.Name[strings.LastIndex(t.Name, ".v")+2:]
	switch m := semver.FindStringSubmatch(t.Version); {
	case m == nil:
		d.report(info.child("version"), "Write MAJOR.MINOR.PATCH, such as "+major+".0.0.", "%q is not a version", t.Version)
	case m[1] != major:
		d.report(info.child("version"), "A breaking change is a new file and a new type; else leave the major as it is.",
			"major %s of the version is not the v%s of %s", m[1], major, t.Name)
	}
	t.Lifecycle = d.word("active", "x-lifecycle", []place{info}, "draft", "active", "deprecated", "retired")
	t.Compatibility = d.compatibility(info)
	d.kind(info)
}

// kind reads whether the type is an event, a command or a query.
func (d *reader) kind(info place) {
	defer d.judging("S04")()
	t := d.t
	t.Kind = "event"
	tags := info.child("tags")
	if tags.node == nil {
		return
	}
	for i := range tags.node.values {
		tag := tags.child(strconv.Itoa(i))
		kind, ok := strings.CutPrefix(tag.node.str("name"), "kind:")
		switch {
		case !ok:
		case slices.Contains([]string{"event", "command", "query"}, kind):
			t.Kind = kind
		default:
			d.report(tag, "Use kind:event, kind:command or kind:query.", "there is no kind %s", shorten(kind, maxValue))
		}
	}
}

// policy reads the extensions that change how the bus treats events; the nearest one counts.
func (d *reader) policy() {
	defer d.judging("S01")()
	near := []place{d.message, d.channel, d.doc.child("info")}
	if payload, err := d.payload(); err == nil {
		near = slices.Insert(near, 1, payload)
	}
	d.t.BestEffort = d.word("", "x-durability", near, "best-effort") != ""
	d.t.Partitioner = d.word("murmur2", "x-partitioner", near, "murmur2", "sarama")
	d.t.OpenWriters = d.word("closed", "x-writers", near, "closed", "open") == "open"
	d.t.looseFormats = d.word("assert", "x-formats", near, "assert", "annotate") == "annotate"
	d.t.Unordered = d.word("false", "x-unordered", near, "true", "false") == "true"
}

// word reads an extension that has few values.
func (d *reader) word(absent, name string, from []place, allowed ...string) string {
	for _, p := range from {
		v := p.child(name)
		if v.node == nil {
			continue
		}
		word := v.node.value
		if v.node.form == literal {
			word = v.node.text
		}
		if !slices.Contains(allowed, word) {
			d.report(v, "Use "+strings.Join(allowed, " or ")+".", "%s has no such value", name)
			return absent
		}
		return word
	}
	return absent
}

// payload is the place of the message's schema.
func (d *reader) payload() (place, error) {
	p, err := d.resolve(d.message.child("payload"))
	if err == nil && p.node.get("schema") != nil {
		return d.resolve(p.child("schema"))
	}
	return p, err
}

// data reads the schema, the key and the examples of the message. In a document that is not sound the schema cannot be
// used, but what can be said of the key is said.
func (d *reader) data(sound bool) {
	defer d.judging("S01")()
	payload, err := d.payload()
	switch {
	case err != nil:
		return // reported by checkRefs
	case payload.node == nil && d.opaque():
		return
	case payload.node == nil:
		d.report(d.message, "Add payload: a JSON Schema; {type: object} accepts any object.", "the message has no payload")
		return
	}
	if !d.formats() {
		return
	}
	usable := sound && d.schema(payload)
	d.key(func(field []string) bool {
		if usable {
			return d.t.schema.declares(field)
		}
		return d.mayDeclare(payload, field)
	})
	if usable {
		d.t.program = compileProgram(d.t.schema, d.t.Schema, d.t.KeyPointer)
		d.t.identify()
		d.examples()
	}
}

// opaque takes a message whose data is not JSON and has no schema: what is in it is between those who write and those
// who read. It has no fields, so its key is what clients send as partitionkey.
func (d *reader) opaque() bool {
	content := d.content()
	if content.node == nil || autobus.IsJSON(content.node.value) {
		return false
	}
	media, _, err := mime.ParseMediaType(content.node.value)
	if err != nil {
		d.report(content, "Write a media type, such as application/octet-stream.", "%q is no content type",
			content.node.value)
		return true
	}
	d.t.ContentType = media
	if from := d.said(d.message, "bindings", "kafka", "key", "x-from"); from.node != nil {
		d.report(from, "Leave x-from away; clients send the key as partitionkey.", "data of content type %s has no fields",
			media)
	}
	return true
}

// content is the content type of the message, if it says one.
func (d *reader) content() place {
	if content := d.message.child("contentType"); content.node != nil {
		return content
	}
	return d.doc.child("defaultContentType")
}

// schema compiles the schema of the message.
func (d *reader) schema(payload place) (usable bool) {
	raw, err := d.bundle(payload)
	if err != nil {
		return false // reported by checkRefs or bundle
	}
	s, err := compile(raw)
	if err != nil {
		d.report(payload, schemaHint, "the schema cannot be used: %s", whyUnusable(err))
		return false
	}
	if at, found := s.circle(); found {
		d.report(payload, "Put the reference below a property or items.",
			"the schema needs itself to judge the same value, at %s", at[strings.IndexByte(at, '#'):])
		return false
	}
	if !s.unfolds() {
		d.report(payload, "Share less, nest less: all that refers to the same schema checks it again.",
			"the schema unfolds to more than %d checks of one event", maxChecks)
		return false
	}
	s.open = d.t.OpenWriters
	if d.t.looseFormats {
		s.annotateFormats()
	}
	d.t.Schema, d.t.schema = raw, s
	return true
}

// formats checks that the message is JSON described by JSON Schema.
func (d *reader) formats() bool {
	content := d.content()
	if content.node != nil && !autobus.IsJSON(content.node.value) {
		d.report(content, "Use application/json, or leave payload away: such data is not looked at.",
			"data of content type %s has no schema that the bus checks",
			content.node.value)
		return false
	}
	format := d.walk(d.message, "payload", "schemaFormat")
	if format.node != nil && !strings.HasPrefix(format.node.value, "application/vnd.aai.asyncapi") &&
		!strings.HasPrefix(format.node.value, "application/schema+") {
		d.report(format, "Write the payload as JSON Schema draft-07.", "schemaFormat %s is not supported", format.node.value)
		return false
	}
	return true
}

// key reads where the partition key is; declares knows the fields of the payload.
func (d *reader) key(declares func(field []string) bool) {
	defer d.judging("S10")()
	from := d.said(d.message, "bindings", "kafka", "key", "x-from")
	if from.node == nil {
		return
	}
	if from.node.form != str || !validPointer(from.node.value) {
		d.report(from, "Write x-from: /orderId.", "x-from must be a JSON pointer to a field of the payload")
		return
	}
	if !declares(tokens(from.node.value)) {
		d.report(from, "Point at a field that the schema declares.", "the payload has no field %s", from.node.value)
		return
	}
	d.t.KeyPointer = from.node.value
}

// examples holds each example of the message against the schema.
func (d *reader) examples() {
	defer d.judging("S20")()
	list := d.message.child("examples")
	if list.node == nil {
		return
	}
	for i := range list.node.values {
		example := list.child(strconv.Itoa(i)).child("payload")
		if example.node == nil {
			continue
		}
		raw := example.node.raw()
		err := d.t.Check(raw)
		if err == nil {
			_, err = d.t.Key(raw)
		}
		if err == nil {
			d.t.Examples = append(d.t.Examples, raw)
			continue
		}
		for _, f := range err.Faults {
			d.reportAt(example.file, slices.Concat(example.path, tokens(f.Pointer)),
				"Mend the example or the schema; examples are what publish --example sends.",
				"the example does not match the schema: %s", strings.TrimSpace(f.Pointer+" "+sentence(f)))
		}
	}
}
