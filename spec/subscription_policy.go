// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// policyKey is a key of a mapping and what it does to a policy.
type policyKey struct {
	name string
	set  func(p *autobus.Policy, at place)
}

// subscriptionPolicy reads how an operation receives.
func (r *parser) subscriptionPolicy(doc, op place) autobus.Policy {
	p := autobus.Policy{Types: []string{"*"}} // until the type is known
	r.policyKeys(r.said(op, "x-subscription"), &p, []policyKey{
		{"instances", func(*autobus.Policy, place) {}}, // read by groups
		{"filter", func(p *autobus.Policy, at place) { p.Filter = r.text(at) }},
		{"order", func(p *autobus.Policy, at place) { p.Order = autobus.Order(r.text(at)) }},
		{"queue", func(p *autobus.Policy, at place) { p.Queue = r.yes(at) }},
		{"start", func(p *autobus.Policy, at place) { p.Start = r.start(at) }},
		{"window", func(p *autobus.Policy, at place) { p.Window = r.window(at) }},
		{"ack-wait", func(p *autobus.Policy, at place) { p.AckWait = r.duration(at) }},
		{"on-exhausted", func(p *autobus.Policy, at place) { p.OnExhausted = autobus.OnExhausted(r.text(at)) }},
		{"delivery", func(p *autobus.Policy, at place) { p.Delivery = r.delivery(at) }},
		{"owner", func(p *autobus.Policy, at place) { p.Owner = r.text(at) }},
	})
	r.policyKeys(r.said(op, "x-on-failure"), &p, []policyKey{
		{"retries", func(p *autobus.Policy, at place) { p.Retry.Backoff = r.durations(at) }},
		{"max-attempts", func(p *autobus.Policy, at place) {
			p.Retry.MaxAttempts = r.number(at, 1, autobus.MaxAttempts)
		}},
		{"max-time", func(p *autobus.Policy, at place) { p.Retry.MaxTime = r.duration(at) }},
	})
	if p.Owner == "" {
		info := doc.child("info")
		p.Owner = cmp.Or(info.node.str("x-owner"), info.child("contact").node.str("name"))
	}
	return p
}

// policyKeys reads one mapping into p. What Check does not take is left out.
func (r *parser) policyKeys(from place, p *autobus.Policy, known []policyKey) {
	if from.node == nil {
		return
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = k.name
	}
	keys := r.keysOf(from, names)
	slices.SortFunc(keys, func(a, b string) int { // what others are judged by comes first, wherever it stands
		return slices.Index(names, a) - slices.Index(names, b)
	})
	for _, k := range keys {
		at := from.child(k)
		next := *p
		known[slices.Index(names, k)].set(&next, at)
		if err := next.Check(); err != nil {
			r.report(at, cmp.Or(err.Hint, "Choose another value."), "%s", asInSpecs(err.Detail))
			continue
		}
		*p = next
	}
}

// keysOf lists the keys of a mapping and reports those that are not known.
func (r *parser) keysOf(p place, known []string) []string {
	if p.node.form != object {
		r.report(p, "Its keys are "+strings.Join(known, ", ")+".", "%s must be a mapping", p.path[len(p.path)-1])
		return nil
	}
	var keys []string
	for _, k := range p.node.keys {
		if slices.Contains(known, k.name) {
			keys = append(keys, k.name)
			continue
		}
		hint := "The keys here are " + strings.Join(known, ", ") + "."
		if near := autobus.Near(k.name, known, 1); len(near) > 0 {
			hint = "Did you mean " + near[0] + "?"
		}
		r.report(p.child(k.name), hint, "there is no key %s", shorten(k.name, maxValue))
	}
	return keys
}

// asInSpecs turns what begins with the name of a policy's field into what specs call it.
func asInSpecs(s string) string {
	for _, names := range [][2]string{{"ack_wait", "ack-wait"}, {"on_exhausted", "on-exhausted"},
		{"delivery.push.secret_file", "delivery.push.secret-file"},
		{"retry.backoff", "retries"}, {"retry.max_attempts", "max-attempts"}, {"retry.max_time", "max-time"},
		{"retry", "x-on-failure"}} {
		if rest, ok := strings.CutPrefix(s, names[0]); ok {
			return names[1] + rest
		}
	}
	return s
}

// yes reads a truth value.
func (r *parser) yes(at place) bool {
	if at.node.form != literal || at.node.text != "true" && at.node.text != "false" {
		r.report(at, "Write true or false, without quotes.", "%s must be true or false", at.path[len(at.path)-1])
		return false
	}
	return at.node.text == "true"
}

// text reads a string, "" when there is none.
func (r *parser) text(at place) string {
	if at.node.form != str || at.node.value == "" {
		r.report(at, "Write a word; quote what looks like a number.", "%s must be a string", at.path[len(at.path)-1])
		return ""
	}
	return at.node.value
}

// duration reads "30s", 0 when it is none.
func (r *parser) duration(at place) autobus.Duration {
	d, err := time.ParseDuration(at.node.value)
	if at.node.form != str || err != nil {
		r.report(at, "Write it as 30s or 1m30s.", "%s is not a duration", shorten(string(at.node.raw()), maxValue))
		return 0
	}
	return autobus.Duration(d)
}

func (r *parser) durations(at place) []autobus.Duration {
	if at.node.form != list || len(at.node.values) == 0 {
		r.report(at, "Write [1s, 10s, 1m]; for no retries say max-attempts: 1.", "%s must list at least one wait",
			at.path[len(at.path)-1])
		return nil
	}
	ds := make([]autobus.Duration, len(at.node.values))
	for i := range at.node.values {
		ds[i] = r.duration(at.child(strconv.Itoa(i)))
	}
	return ds
}

// start reads where a subscription begins.
func (r *parser) start(at place) (s autobus.Start) {
	raw := at.node.raw()
	if err := s.UnmarshalJSON(raw); err != nil || len(s.Cursors) > 0 {
		r.report(at, `Use earliest, latest or {time: "2026-01-31T15:04:05Z"}.`, "start %s is no place to begin",
			shorten(string(raw), maxValue))
		return autobus.Start{}
	}
	return s
}

// window reads a number of events, or events and bytes.
func (r *parser) window(at place) *autobus.Window {
	if at.node.form != object {
		if n := r.number(at, 1, autobus.MaxWindowEvents); n > 0 {
			return &autobus.Window{Events: n}
		}
		return nil
	}
	before := len(r.problems)
	var w autobus.Window
	for _, k := range r.keysOf(at, []string{"events", "bytes"}) {
		if k == "events" {
			w.Events = r.number(at.child(k), 1, autobus.MaxWindowEvents)
		} else {
			w.Bytes = r.number(at.child(k), 1, autobus.MaxWindowBytes)
		}
	}
	if len(r.problems) > before {
		return nil
	}
	return &w
}
