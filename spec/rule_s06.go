// SPDX-License-Identifier: Apache-2.0

package spec

import "mime"

func ruleS06() Rule {
	return Rule{
		ID: "S06", Severity: SeverityError,
		Title: "A command or query has a reply, a message of failure with code and message, a time to answer in, and a " +
			"command exactly one service that handles it.",
		Why: "Whoever asks must learn that nothing came of it; two services that handle a command do it twice. A reply " +
			"of application/http needs no message of failure: it has a status.",
		Mend: "Add operations: {create: {action: receive, channel: ..., x-sla: {reply-within: 5m}, reply: {channel: ...}}} " +
			"with a message that says x-error: true, and one receive operation in services/.",
		check: checkS06,
	}
}

func checkS06(l *linter) {
	for _, s := range l.specs {
		if s.Kind == "event" {
			continue
		}
		op, found := l.operationOf(s)
		switch reply, err := l.resolve(op.child("reply").child("channel")); {
		case !found:
			l.add(s.channel, "no operation says how the %s %s is answered", s.Kind, s.Name)
		case err != nil || reply.node == nil:
			l.add(op, "the %s %s has no reply", s.Kind, s.Name)
		default:
			l.checkReply(s, op, reply)
		}
		if readers := l.services(s.Name); s.Kind == "command" && len(readers) != 1 {
			l.add(s.channel.child("address"), "%d services handle the command %s, not one", len(readers), s.Name)
		}
	}
}

func (l *linter) checkReply(s *specAt, op, reply place) {
	rejected := false
	for _, msg := range l.messages(reply) {
		if isHTTP(msg) {
			rejected = true
			continue
		}
		payload, err := (&reader{parser: l.parser, message: msg}).payload()
		if !isError(msg) || err != nil {
			continue
		}
		names := map[string]bool{}
		for _, f := range l.topFields(s, payload) {
			names[f.name] = true
		}
		rejected = rejected || names["code"] && names["message"]
	}
	if !rejected {
		l.add(reply.child("messages"), "no reply with x-error: true says code and message")
	}
	within := op.child("x-sla").child("reply-within")
	if _, ok := durationOf(within.node); !ok {
		l.add(within, "the %s %s does not say in what time it is answered", s.Kind, s.Name)
	}
}

// isHTTP reports whether a reply is a response of HTTP, whose status tells a failure.
func isHTTP(msg place) bool {
	media, _, err := mime.ParseMediaType(msg.node.str("contentType"))
	return err == nil && media == "application/http"
}

// operationOf is the operation in the type's own file on its channel.
func (l *linter) operationOf(s *specAt) (op place, found bool) {
	ops := s.doc.child("operations")
	if ops.node == nil {
		return place{}, false
	}
	for _, k := range ops.node.keys {
		op, err := l.resolve(ops.child(k.name))
		if err != nil {
			continue
		}
		if ch, err := l.resolve(op.child("channel")); err == nil && ch.id() == s.channel.id() {
			return op, true
		}
	}
	return place{}, false
}
