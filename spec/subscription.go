// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"cmp"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// Subscription is what a service's file says of one durable consumer group. It is immutable.
type Subscription struct {
	Name    string
	Service string         // info.title of the file, else the file's name
	Policy  autobus.Policy // without defaults; Types in order of their names; whether Filter compiles is not known here
	File    string
	Line    int // of its name in File
}

// receiving is an operation by which a service receives: which groups take the type of its channel, and how.
type receiving struct {
	doc, op place
	policy  autobus.Policy
	groups  []group
	sound   bool // all that it says of itself could be read
}

// group is a name under which an operation receives.
type group struct {
	name   string
	at     place
	params map[string]string
}

// subscribed is a subscription and where it is said first.
type subscribed struct {
	*Subscription
	receiving
	at place
}

// operations takes the operations by which a service receives. In the file of an event its owner says who handles it,
// which subscribes nobody.
func (r *parser) operations(doc place) {
	defer r.judging("S28")()
	ops := doc.child("operations")
	if ops.node == nil {
		return
	}
	for _, k := range ops.node.keys {
		op, err := r.resolve(ops.child(k.name))
		switch {
		case err != nil: // reported by checkRefs
		case strings.HasPrefix(doc.file, "services/") && op.node.str("action") == "receive":
			before := len(r.problems)
			in := receiving{doc: doc, op: op, policy: r.subscriptionPolicy(doc, op), groups: r.groups(op)}
			in.sound = len(r.problems) == before
			r.receives = append(r.receives, in)
		case op.node.get("x-subscription") != nil:
			r.report(op.child("x-subscription"), "Subscriptions are operations with action: receive in a file of services/.",
				"x-subscription subscribes nobody here")
		}
	}
}

// groups reads under which names an operation receives.
func (r *parser) groups(op place) []group {
	id, instances := r.said(op, "bindings", "kafka", "groupId", "const"), r.said(op, "x-subscription", "instances")
	var groups []group
	switch {
	case id.node != nil && instances.node != nil:
		r.report(instances, "Leave groupId away; each instance is a group of its own.", "instances beside a groupId")
	case id.node != nil:
		if name := r.text(id); name != "" {
			groups = append(groups, group{name: name, at: id})
		}
	case instances.node == nil:
		r.report(op, "Add bindings: {kafka: {groupId: {type: string, const: the-name}}}, or x-subscription: "+
			"{instances: {the-name: {}}}.", "the operation receives for no group")
	case instances.node.form != object || len(instances.node.keys) == 0:
		r.report(instances, "Write instances: {bob-kz: {country: kz}}.", "instances must name at least one group")
	default:
		for _, k := range instances.node.keys {
			at := instances.child(k.name)
			groups = append(groups, group{name: k.name, at: at, params: r.params(at)})
		}
	}
	return slices.DeleteFunc(groups, func(g group) bool { return !r.checkName(g) })
}

func (r *parser) checkName(g group) bool {
	switch {
	case !autobus.ValidSubscription(g.name):
		r.report(g.at, "A name is a lower-case letter, then letters, digits, '.', '_' and '-', at most 121 in all.",
			"%q cannot name a subscription", shorten(g.name, maxValue))
		return false
	case autobus.ReservedName(g.name):
		r.report(g.at, "Choose another name.", "the name %s belongs to the bus: it begins with dlq, retry or park", g.name)
		return false
	}
	return true
}

// params reads what the filter of an instance knows as params.
func (r *parser) params(at place) map[string]string {
	if at.node.form != object {
		r.report(at, "Write {country: kz}, or {} for none.", "the parameters of an instance must be a mapping")
		return nil
	}
	if len(at.node.keys) == 0 {
		return nil
	}
	params := map[string]string{}
	for _, k := range at.node.keys {
		params[k.name] = r.text(at.child(k.name))
	}
	return params
}

// checkSubscriptions makes the subscriptions, once all types are known.
func (r *parser) checkSubscriptions() {
	defer r.judging("S28")()
	for _, in := range r.receives {
		name, ok := r.received(in.op)
		if !ok {
			continue
		}
		for _, g := range in.groups {
			r.subscribe(in, g, name)
		}
	}
	named := map[string]subscribed{}
	for _, name := range slices.Sorted(maps.Keys(r.subs)) {
		s := r.subs[name]
		if err := s.Policy.Check(); err != nil && s.sound {
			r.report(s.at, cmp.Or(err.Hint, err.Reason.Info().Hint), "the subscription %s: %s", name, err.Detail)
		}
		same := strings.ReplaceAll(name, "_", ".")
		if twin, ok := named[same]; ok {
			r.report(s.at, "Rename one of them; in names of metrics they would be the same.",
				"the subscription %s differs from %s at %s:%d only in '.' and '_'", name, twin.Name, twin.File, twin.Line)
			continue
		}
		named[same] = s
	}
}

// received is the type whose channel an operation names.
func (r *parser) received(op place) (name string, ok bool) {
	ch, err := r.resolve(op.child("channel"))
	if err != nil || ch.node == nil {
		return "", false // reported
	}
	name = ch.node.str("address")
	if _, ok = r.types[name]; ok {
		return name, true
	}
	faulty := slices.ContainsFunc(r.problems, func(p Problem) bool { return p.File == ch.file }) // that may be why
	if !faulty || strings.HasSuffix(name, ".reply") {
		r.report(op.child("channel"), "Refer to an event's channel, such as "+
			"../events/orders/order.placed.v1.yaml#/channels/placed.", "the channel received from is none of an event type")
	}
	return "", false
}

// subscribe gives a group one more type.
func (r *parser) subscribe(in receiving, g group, name string) {
	policy := in.policy
	policy.Params, policy.Types = g.params, []string{name}
	first, known := r.subs[g.name]
	if !known {
		service := cmp.Or(in.doc.child("info").node.str("title"), strings.TrimSuffix(path.Base(in.doc.file),
			path.Ext(in.doc.file)))
		s := &Subscription{Name: g.name, Service: service, Policy: policy, File: g.at.file, Line: r.line(g.at)}
		r.subs[g.name] = subscribed{s, in, g.at}
		return
	}
	hint := "Let one of them go, or let both say the same; operations of one group are one subscription."
	switch differs := difference(first.Policy, policy); {
	case first.doc.file != in.doc.file:
		r.report(g.at, "A subscription belongs to one service; choose another name.",
			"two definitions of the subscription %s, the first at %s:%d", g.name, first.File, first.Line)
	case differs != "" && first.sound && in.sound:
		r.report(g.at, hint, "two definitions of the subscription %s: %s differs from the first at %s:%d", g.name, differs,
			first.File, first.Line)
	case slices.Contains(first.Policy.Types, name):
		r.report(g.at, hint, "two definitions of the subscription %s: both receive %s, the first at %s:%d", g.name, name,
			first.File, first.Line)
	default:
		first.Policy.Types = append(first.Policy.Types, name)
		slices.Sort(first.Policy.Types)
	}
}

// difference names the first thing beside types in which two policies do not mean the same.
func difference(a, b autobus.Policy) string {
	x, y := reflect.ValueOf(a.WithDefaults()), reflect.ValueOf(b.WithDefaults())
	for i := range x.NumField() {
		name, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("json"), ",")
		if name != "types" && !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return asInSpecs(name)
		}
	}
	return ""
}
