// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus/spec"
)

// FuzzCompareSchemas compares whatever can be read: it never panics, and nothing differs from itself.
func FuzzCompareSchemas(f *testing.F) {
	files, err := filepath.Glob("testdata/compat/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		for _, c := range compatCases(f, file) {
			f.Add([]byte(c.older), []byte(c.newer))
		}
	}
	f.Fuzz(func(t *testing.T, older, newer []byte) {
		if _, err := spec.CompareSchemas(older, newer, spec.PolicyStrict); err != nil {
			return
		}
		if changes, err := spec.CompareSchemas(older, older, spec.PolicyStrict); err != nil || len(changes) > 0 {
			t.Errorf("%s differs from itself: %v, %v", older, changes, err)
		}
		if _, err := spec.CheckSchemas([][]byte{older}, newer, spec.LevelFull, spec.PolicyLenient); err != nil {
			t.Errorf("%s, %s: %v", older, newer, err)
		}
	})
}

// Nothing differs from itself, whatever the policy.
func TestASchemaIsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := encode(anySchema(t, 3))
		for _, policy := range spec.CompatPolicies() {
			if changes, err := spec.CompareSchemas(s, s, policy); err != nil || len(changes) > 0 {
				t.Fatalf("%s differs from itself: %v, %v", s, changes, err)
			}
		}
	})
}
