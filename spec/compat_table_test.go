// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/spec"
)

var update = flag.Bool("update", false, "write what is generated instead of comparing it")

// compatCase is one block of testdata/compat. The verdicts are the author's, one of both, backward, forward and none;
// the changes, there from old to new and back, are written by -update and reviewed.
type compatCase struct {
	name, older, newer, strict, lenient, there, back string
}

func compatCases(t testing.TB, file string) []compatCase {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []compatCase
	for block := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n\n") {
		var c compatCase
		for line := range strings.Lines(block) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch word {
			case "#":
				c.name = rest
			case "old":
				c.older = rest
			case "new":
				c.newer = rest
			case "strict":
				c.strict = rest
			case "lenient":
				c.lenient = rest
			case "there":
				c.there = rest
			case "back":
				c.back = rest
			default:
				t.Fatalf("%s: %s", file, line)
			}
		}
		cases = append(cases, c)
	}
	return cases
}

func (c compatCase) String() string {
	return fmt.Sprintf("# %s\nold %s\nnew %s\nstrict %s\nlenient %s\nthere %s\nback %s\n", c.name, c.older, c.newer,
		c.strict, c.lenient, c.there, c.back)
}

// TestCompatTable holds the checker to the project's own cases: the verdicts of both policies both ways, and the
// changes with their places. Every kind there is must occur.
func TestCompatTable(t *testing.T) {
	files, err := filepath.Glob("testdata/compat/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen, total := map[spec.ChangeKind]bool{}, 0
	for _, file := range files {
		var written []string
		for _, c := range compatCases(t, file) {
			total++
			for _, policy := range spec.CompatPolicies() {
				want := map[spec.CompatPolicy]string{spec.PolicyStrict: c.strict, spec.PolicyLenient: c.lenient}[policy]
				if got := verdictOf(t, c, policy); got != want {
					t.Errorf("%s: %s: %s is %s, want %s", file, c.name, policy, got, want)
				}
			}
			there, back := changesOf(t, c.older, c.newer, seen), changesOf(t, c.newer, c.older, seen)
			if !*update && (there != c.there || back != c.back) {
				t.Errorf("%s: %s:\nthere %s\n want %s\nback  %s\n want %s", file, c.name, there, c.there, back, c.back)
			}
			c.there, c.back = there, back
			written = append(written, c.String())
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(written, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if total < 220 {
		t.Errorf("%d cases", total)
	}
	for _, k := range spec.ChangeKinds() {
		elsewhere := strings.HasPrefix(string(k.Kind), "EXTENSIBLE_") || // only forward, which CompareSchemas is not
			k.Kind == "NOT_COMPARED" // TestEntangledSchemas
		if !seen[k.Kind] && !elsewhere && k.Schema {
			t.Errorf("no case has %s", k.Kind)
		}
	}
}

func verdictOf(t *testing.T, c compatCase, policy spec.CompatPolicy) string {
	t.Helper()
	ok := map[spec.CompatLevel]bool{}
	for _, level := range spec.CompatLevels() {
		v, err := spec.CheckSchemas([][]byte{[]byte(c.older)}, []byte(c.newer), level, policy)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, f := range v.Changes {
			if !f.Compatible && len(f.Hit) == 0 {
				t.Errorf("%s: %s hits nobody", c.name, f.Kind)
			}
		}
		ok[level] = v.Compatible
	}
	if !ok[spec.LevelNone] || ok[spec.LevelFull] != (ok[spec.LevelBackward] && ok[spec.LevelForward]) ||
		ok[spec.LevelFullTransitive] != ok[spec.LevelFull] || ok[spec.LevelBackwardTransitive] != ok[spec.LevelBackward] ||
		ok[spec.LevelForwardTransitive] != ok[spec.LevelForward] {
		t.Errorf("%s: the levels disagree: %v", c.name, ok)
	}
	switch {
	case ok[spec.LevelFull]:
		return "both"
	case ok[spec.LevelBackward]:
		return "backward"
	case ok[spec.LevelForward]:
		return "forward"
	}
	return "none"
}

func changesOf(t *testing.T, older, newer string, seen map[spec.ChangeKind]bool) string {
	t.Helper()
	changes, err := spec.CompareSchemas([]byte(older), []byte(newer), spec.PolicyStrict)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range changes {
		seen[c.Kind] = true
		out = append(out, fmt.Sprintf("%s %s", c.Kind, c.Pointer))
	}
	if out == nil {
		return "-"
	}
	return strings.Join(out, ", ")
}
