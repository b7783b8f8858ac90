// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

func TestTombstones(t *testing.T) {
	file := func(policy, key string) []byte {
		return []byte(`asyncapi: 3.1.0
info: {title: Prices, version: 1.0.0}
channels:
  set:
    address: shop.price.set.v1
    bindings: {kafka: {topicConfiguration: {cleanup.policy: ` + policy + `}}}
    messages:
      set:
        ` + key + `
        payload: {type: object, properties: {sku: {type: string}}}
`)
	}
	const field = "bindings: {kafka: {key: {type: string, x-from: /sku}, bindingVersion: 0.5.0}}"
	for _, c := range []struct {
		name, policy, key string
		data              []byte
		given             string
		want              autobus.Reason
		ends              bool
	}{
		{"no data", "[compact]", field, nil, "tea", "", true},
		{"null", "[compact, delete]", field, []byte(" null\n"), "tea", "", true},
		{"no field for the key", "[compact]", "title: none", nil, "tea", "", true},
		{"no key", "[compact]", field, nil, "", autobus.ReasonKeyMissing, false},
		{"not compacted", "[delete]", field, nil, "tea", autobus.ReasonDataInvalid, false},
		{"null, not compacted", "[delete]", field, []byte("null"), "tea", autobus.ReasonDataInvalid, false},
		{"state", "[compact]", field, []byte(`{"sku":"tea"}`), "", "", false},
		{"state without a key", "[compact]", "title: none", []byte(`{"sku":"tea"}`), "", autobus.ReasonKeyMissing, false},
		{"no key, not compacted", "[delete]", "title: none", []byte(`{"sku":"tea"}`), "", "", false},
	} {
		s, err := spec.Parse(spec.Files{"price.yaml": file(c.policy, c.key)})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		typ, _ := s.Type("shop.price.set.v1")
		e := autobus.Event{Type: typ.Name, Data: c.data}
		if c.given != "" {
			e.SetExt(autobus.ExtPartitionKey, c.given)
		}
		bad := spec.CheckEvent(typ, &e, autobus.MaxEventBytes)
		switch {
		case c.want == "" && bad != nil, c.want != "" && (bad == nil || bad.Reason != c.want):
			t.Errorf("%s: %v, want %q", c.name, bad, c.want)
		case c.want == "" && (c.ends != (e.Data == nil) || c.ends && string(e.Key) != c.given):
			t.Errorf("%s: data %q, key %q", c.name, e.Data, e.Key)
		}
	}
}
