// SPDX-License-Identifier: Apache-2.0

package spec

import "testing"

const exampleRepository = "../examples/lamoda-specs"

// The example repository follows every rule, without a waiver, and so do the specs of an example that asks by HTTP.
func TestTheExampleRepositoryIsClean(t *testing.T) {
	for _, dir := range []string{exampleRepository, "../examples/quotes/specs"} {
		files, err := ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			t.Errorf("%s is empty", dir)
		}
		for _, f := range Lint(files, LintOptions{}) {
			t.Errorf("%s: %s %s %s: %s", dir, f.Severity, f.Rule, f.Problem, f.Hint)
		}
	}
}
