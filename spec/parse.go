// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// Parse reads a spec repository: files in common/, events/ and services/, or a flat folder of a few event files. The
// error is Problems, all faults of all files at once.
func Parse(files Files) (*Snapshot, error) {
	r := parse(files)
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	return newSnapshot(r.types, r.subs), nil
}

// parse reads what can be read and collects what is wrong.
func parse(files Files) *parser {
	r := &parser{files: files, docs: map[string]*node{}, types: map[string]declared{},
		subs: map[string]subscribed{}, rule: "S01"}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		n := load(files[name], func(pos position, hint, message string) {
			r.problems = append(r.problems, Problem{Rule: r.rule, File: name, Line: pos.line, Column: pos.column,
				Message: message, Hint: hint})
		})
		if n != nil {
			r.docs[name] = n
		}
	}
	for _, name := range names {
		if n := r.docs[name]; n != nil {
			r.checkRefs(place{file: name, node: n}, false)
			if isSpec(name, n) {
				r.document(place{file: name, node: n})
			}
		}
	}
	r.checkReplies()
	r.checkSubscriptions()
	return r
}

// isSpec tells specs from other YAML files that stand beside them.
func isSpec(name string, n *node) bool {
	dir, _, _ := strings.Cut(name, "/")
	return n.get("asyncapi") != nil || n.get("channels") != nil || n.get("operations") != nil ||
		n.get("components") != nil || path.Dir(name) != "." && (dir == "events" || dir == "services")
}

type parser struct {
	files    Files
	docs     map[string]*node
	types    map[string]declared
	replies  []reply
	receives []receiving
	subs     map[string]subscribed
	problems Problems
	rule     string // of the linter, whose matter is being read
}

// judging makes problems those of a rule of the linter, until back is called.
func (r *parser) judging(rule string) (back func()) {
	was := r.rule
	r.rule = rule
	return func() { r.rule = was }
}

// declared is a type, the place of its channel, and those of its document and its message.
type declared struct {
	*Type
	at, doc, message place
}

// reply is the channel of a type's replies.
type reply struct {
	to      string
	at, doc place
	forms   []*Reply
}

func (r *parser) report(p place, hint, format string, args ...any) {
	r.reportAt(p.file, p.path, hint, format, args...)
}

func (r *parser) reportAt(file string, path []string, hint, format string, args ...any) {
	pos := r.docs[file].find(path)
	r.problems = append(r.problems, Problem{Rule: r.rule, File: file, Line: pos.line, Column: pos.column,
		Pointer: pointer(path), Message: fmt.Sprintf(format, args...), Hint: hint})
}

// document checks one AsyncAPI document and takes its type and what it subscribes to.
func (r *parser) document(doc place) {
	before := len(r.problems)
	if !r.checkStructure(doc) {
		return
	}
	faults := slices.Clone(r.problems[before:])
	r.channels(doc, len(faults) == 0)
	r.operations(doc)
	said := func(p Problem) bool { // once per line is enough
		return slices.ContainsFunc(faults, func(f Problem) bool { return f.File == p.File && f.Line == p.Line })
	}
	meaning := slices.DeleteFunc(slices.Clone(r.problems[before+len(faults):]), said)
	r.problems = append(r.problems[:before+len(faults)], meaning...)
}

// line is where a place stands in its file.
func (r *parser) line(p place) int { return r.docs[p.file].find(p.path).line }

// channels takes the type of a document. A document that breaks AsyncAPI has no schemas to compile.
func (r *parser) channels(doc place, sound bool) {
	channels := doc.child("channels")
	if channels.node == nil {
		return
	}
	defer r.judging("S02")()
	own := 0
	for _, k := range channels.node.keys {
		ch, err := r.resolve(channels.child(k.name))
		if err != nil || ch.file != doc.file { // reported, or another file's type that this one only uses
			continue
		}
		address := ch.node.str("address")
		to, isReply := strings.CutSuffix(address, ".reply")
		switch {
		case strings.HasPrefix(doc.file, "services/"):
			r.report(ch, "Declare the type under events/ and refer to its channel by $ref.",
				"a service's file declares the channel %s itself", k.name)
		case address == "":
			r.report(ch, "Add address: the event type, such as orders.order.placed.v1.", "channel %s has no address", k.name)
		case isReply && autobus.ValidType(to):
			r.replies = append(r.replies, reply{to, ch, doc, r.reply(doc, ch, sound)})
		case !autobus.ValidType(address):
			r.report(ch.child("address"), autobus.ReasonTypeInvalid.Info().Hint, "%s is not a legal event type: %s",
				shorten(address, maxValue), whyInvalid(address))
		case own > 0:
			r.report(ch, "One file per event type: each has a version of its own.", "a second event type in one document")
		default:
			own++
			r.declare(doc, ch, address, sound)
		}
	}
}

func whyInvalid(name string) string {
	segments := strings.Split(name, ".")
	last := segments[len(segments)-1]
	switch {
	case autobus.ReservedName(name):
		return "names that begin with dlq, retry, park or _ belong to the bus"
	case len(name) > autobus.MaxTypeBytes:
		return fmt.Sprintf("it has more than %d bytes", autobus.MaxTypeBytes)
	case strings.ToLower(name) != name:
		return "it has capital letters"
	case len(last) < 2 || last[0] != 'v' || strings.Trim(last[1:], "0123456789") != "":
		return "it does not end with a major version such as .v1"
	case len(segments) < 3 || len(segments) > 6:
		return "it must have two to five segments before the version"
	}
	return "a segment is a lower-case letter, then letters, digits and hyphens"
}

// declare takes the type of a channel.
func (r *parser) declare(doc, ch place, name string, sound bool) {
	if first, ok := r.types[name]; ok {
		r.report(ch.child("address"), "Leave one of them; a breaking change is a new major, hence a new type.",
			"%s is declared twice, first at %s:%d", name, first.at.file, r.line(first.at))
		return
	}
	t := &Type{Name: name, File: doc.file, Line: r.line(ch.child("address"))}
	r.types[name] = declared{t, ch, doc, place{}}
	messages := ch.child("messages")
	if messages.node == nil || len(messages.node.keys) != 1 {
		defer r.judging("S03")()
		r.report(ch, "Declare exactly one message; other events are other types.", "an event channel has one message")
		return
	}
	msg, err := r.resolve(messages.child(messages.node.keys[0].name))
	if err != nil {
		return // reported by checkRefs
	}
	r.types[name] = declared{t, ch, doc, msg}
	d := reader{parser: r, doc: doc, channel: ch, message: msg, t: t}
	d.info()
	d.topic()
	d.policy()
	d.data(sound)
}

// reply reads the messages of a type's replies.
func (r *parser) reply(doc, ch place, sound bool) (forms []*Reply) {
	defer r.judging("S01")()
	messages := ch.child("messages")
	if messages.node == nil {
		return nil
	}
	for _, k := range messages.node.keys {
		if msg, err := r.resolve(messages.child(k.name)); err == nil {
			d := reader{parser: r, doc: doc, channel: ch, message: msg, t: &Type{Name: ch.node.str("address"),
				MaxEventBytes: autobus.MaxEventBytes}}
			d.policy()
			d.data(sound)
			forms = append(forms, &Reply{Name: k.name, Title: msg.node.str("name"), Error: isError(msg), Type: d.t})
		}
	}
	return forms
}

// checkReplies gives each type its replies, and finds those to types that nobody declares.
func (r *parser) checkReplies() {
	defer r.judging("S06")()
	for _, reply := range r.replies {
		if t, ok := r.types[reply.to]; ok {
			t.Replies = append(t.Replies, reply.forms...)
		} else {
			r.report(reply.at.child("address"), "Declare the request's channel in the same document.",
				"replies to %s, which no spec declares", reply.to)
		}
	}
}
