// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// authorize comes first, so that nobody learns which types exist beyond his grants.
func authorize(who autobus.Principal, e *autobus.Event) *autobus.Error {
	if !who.May(autobus.VerbPublish, e.Type) && !who.May(autobus.VerbRequest, e.Type) {
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to publish %q", who.Name, e.Type)
	}
	return nil
}

// resolve finds the topic of a type, or makes one for a type without a spec where there are no specs at all.
func (b *Bus) resolve(who autobus.Principal, name string) (*topic, *autobus.Error) {
	b.lock()
	defer b.unlock()
	if t := b.topics[name]; t != nil {
		return t, nil
	}
	if err := b.legal(name); err != nil {
		return nil, err
	}
	if b.specified() {
		return nil, b.unknownType(who, name)
	}
	t := b.newTopic(name, nil)
	t.hint = "No spec declares " + name + "; its data was not checked."
	b.topics[name] = t
	return t, nil
}

// legal refuses names that no spec could make a type.
func (b *Bus) legal(name string) *autobus.Error {
	switch {
	case autobus.ReservedName(name):
		return autobus.NewError(autobus.ReasonTypeReserved, "%q is kept for the bus itself", name)
	case !b.specified() && (!autobus.LegalTopic(name) || strings.HasSuffix(name, ".reply")):
		return autobus.NewError(autobus.ReasonTypeInvalid, "%q cannot be a Kafka topic of its own", name)
	case b.specified() && !autobus.ValidType(name):
		return autobus.NewError(autobus.ReasonTypeInvalid, "%q is not of the form orders.order.placed.v1", name)
	}
	return nil
}

// exists refuses a type that nobody could publish.
func (b *Bus) exists(who autobus.Principal, name string) *autobus.Error {
	if b.topics[name] != nil {
		return nil
	}
	if err := b.legal(name); err != nil || !b.specified() {
		return err
	}
	return b.unknownType(who, name)
}

// unknownType refuses a type, with the near names that this principal may know of.
func (b *Bus) unknownType(who autobus.Principal, name string) *autobus.Error {
	err := autobus.NewError(autobus.ReasonTypeUnknown, "no spec declares %s", name)
	near := slices.DeleteFunc(b.specs.Near(name, 10), func(n string) bool {
		return !who.May(autobus.VerbPublish, n) && !who.May(autobus.VerbSubscribe, n)
	})
	if near = near[:min(3, len(near))]; len(near) > 0 {
		return err.WithHint("Did you mean %s? Else add its spec.", strings.Join(near, " or "))
	}
	return err
}
