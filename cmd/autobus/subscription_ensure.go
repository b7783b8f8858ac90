// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// proposal is a subscription as a command line asks for it.
type proposal struct {
	name, path string
	policy     autobus.Policy
	// fields are those of the policy that the command line speaks of; nil = all.
	fields []string
	// anyTime says that the start is an age: another run meant another time by it.
	anyTime bool
}

// begin sets where the subscription begins.
func (pr *proposal) begin(from string) error {
	start, err := edge.ParseFrom(from, time.Now())
	if err != nil {
		return err
	}
	pr.policy.Start, pr.anyTime = start, strings.HasPrefix(from, "-")
	return nil
}

// ensure makes a subscription unless it is there, and gives the API's document of it. A command line does not change
// what others work by: a subscription with another policy is an error that says in what it differs.
func (c *api) ensure(ctx context.Context, pr proposal, timeout time.Duration) (doc []byte, created bool, err error) {
	doc, err = c.get(ctx, pr.path, timeout)
	if errors.Is(err, &autobus.Error{Reason: autobus.ReasonSubscriptionUnknown}) {
		doc, status, err := c.sendJSON(ctx, http.MethodPut, pr.path, pr.policy, timeout)
		return doc, status == http.StatusCreated, err
	}
	if err != nil {
		return nil, false, err
	}
	have, err := readSubscription(doc)
	if err != nil {
		return nil, false, err
	}
	other, err := pr.differs(have.Policy)
	if err != nil {
		return nil, false, err
	}
	if len(other) > 0 {
		return nil, false, autobus.NewError(autobus.ReasonSubscriptionExists, "subscription %s exists and differs in: %s",
			pr.name, strings.Join(other, ", ")).
			WithHint("autobus subscription describe %s shows it. Leave away what is asked for here, or choose another name; "+
				"it is changed where it was declared, in services/*.yaml or by PUT /v1/subscriptions/%s.", pr.name, pr.name)
	}
	return doc, false, nil
}

// differs names the fields in which a policy is not what is proposed.
func (pr *proposal) differs(have autobus.Policy) ([]string, error) {
	want := pr.policy
	if pr.anyTime && !have.Start.Time.IsZero() {
		want.Start = have.Start
	}
	a, err := policyFields(have)
	if err != nil {
		return nil, err
	}
	b, err := policyFields(want)
	if err != nil {
		return nil, err
	}
	names := pr.fields
	if names == nil {
		all := maps.Clone(a)
		maps.Copy(all, b)
		names = slices.Sorted(maps.Keys(all))
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return a[name] == b[name] }), nil
}

// policyFields gives a policy's fields as JSON, such that equal ones mean the same.
func policyFields(p autobus.Policy) (map[string]string, error) {
	p = p.WithDefaults()
	p.Types = slices.Sorted(slices.Values(p.Types))
	p.Start.Time = p.Start.Time.UTC()
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, value := range raw {
		out[name] = string(value)
	}
	return out, nil
}
