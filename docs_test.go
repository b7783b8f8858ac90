// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// The how-to on specs says what its example accepts and what it refuses, and where. It is held to its word.
func TestTheExampleOfTheSpecsHowto(t *testing.T) {
	raw, err := os.ReadFile("docs/howto/specs.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	file, ok := fenced(text, "yaml")
	if !ok {
		t.Fatal("docs/howto/specs.md has no YAML block")
	}
	snapshot, err := spec.Parse(spec.Files{"orders/order.placed.v1.yaml": []byte(file)})
	if err != nil {
		t.Fatalf("the example spec: %v", err)
	}
	typ, ok := snapshot.Type("orders.order.placed.v1")
	if !ok {
		t.Fatal("the example spec does not declare orders.order.placed.v1")
	}
	published := regexp.MustCompile(`(?m)^autobus publish (\S+) -d '(.*)'$`).FindAllStringSubmatch(text, -1)
	if len(published) != 2 || published[0][1] != typ.Name || published[1][1] != typ.Name {
		t.Fatalf("the how-to publishes %q", published)
	}
	if err := typ.Check([]byte(published[0][2])); err != nil {
		t.Errorf("what the how-to says is good: %v", err)
	}
	refused := typ.Check([]byte(published[1][2]))
	if refused == nil || refused.Reason != autobus.ReasonDataInvalid {
		t.Fatalf("what the how-to says is refused: %v", refused)
	}
	rules := map[string]string{}
	for _, f := range refused.Faults {
		rules[f.Pointer] = f.Rule
	}
	if len(rules) != 2 || rules["/total"] != "type" || rules["/colour"] != "undeclared" {
		t.Errorf("the faults are %v", refused.Faults)
	}
}
