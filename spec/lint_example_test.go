// SPDX-License-Identifier: Apache-2.0

package spec

import "testing"

const exampleRepository = "../examples/lamoda-specs"

// The example repository follows every rule, without a waiver.
func TestTheExampleRepositoryIsClean(t *testing.T) {
	files, err := ReadDir(exampleRepository)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Lint(files, LintOptions{}) {
		t.Errorf("%s %s %s: %s", f.Severity, f.Rule, f.Problem, f.Hint)
	}
}
