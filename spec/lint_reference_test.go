// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/spec"
)

const lintReference = "../docs/reference/lint.md"

// TestLintReference holds docs/reference/lint.md to the rules that the code knows.
// go test ./spec -run Reference -update writes it.
func TestLintReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Generated from spec/rule_*.go by go test ./spec -run Reference -update. Do not edit. -->\n")
	b.WriteString(ticked(`
# Lint rules

~autobus spec lint~ holds a spec repository against these rules and says of each finding the file, the line, the JSON
pointer and how to mend it. It ends with exit status 3 when there is an error, with ~--strict~ also for a warning.

| severity | what it means |
|---|---|
| error | must be mended; in a file that says ~x-writers: open~, which takes over a foreign schema, it may be waived |
| warning | is mended, or waived with a reason |
| hint | for whoever plans the next version |

A waiver is written where the finding is, in anything that holds that place, or in ~info~ for the whole file:
~x-lint-ignore: {S08: why}~. What the bus itself cannot load is never waived.

| rule | severity | what must be so |
|---|---|---|
`))
	for _, r := range spec.Rules() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", r.ID, strings.ToLower(r.ID), r.Severity, r.Title)
	}
	for _, r := range spec.Rules() {
		fmt.Fprintf(&b, "\n## %s\n\n%s (%s)\n\nWhy: %s\n\nTo mend it: %s\n", r.ID, r.Title, r.Severity, r.Why,
			strings.ReplaceAll(r.Mend, "<", "&lt;"))
	}
	want := b.String()
	if *update {
		if err := os.WriteFile(lintReference, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(lintReference)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not up to date; run go test ./spec -run Reference -update", lintReference)
	}
}
