// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"strings"
	"testing"
)

// Three minor versions in a row that only add optional fields ask for an event of their own; two do not, nor do three
// of which one did something else.
func TestVersionsThatOnlyAddOptionalFields(t *testing.T) {
	good, err := ReadDir(exampleRepository)
	if err != nil {
		t.Fatal(err)
	}
	const sku = "        sku: {type: string, minLength: 1, maxLength: 32}\n"
	version := func(number string, fields ...string) Files {
		add := sku
		for _, f := range fields {
			add += "        " + f + "\n"
		}
		return mutation{file: balance, edits: []string{"version: 1.0.0", "version: " + number, sku, add}}.apply(t, good)
	}
	const a, b, c = "shelf: {type: string, maxLength: 9}", "rack: {type: string, maxLength: 9}",
		"hall: {type: string, maxLength: 9}"
	none, one, two, three := version("1.0.0"), version("1.1.0", a), version("1.2.0", a, b), version("1.3.0", a, b, c)
	wider := version("1.1.0", "shelf: {type: string, maxLength: 8}")
	for name, tc := range map[string]struct {
		versions []Files
		want     string
	}{
		"three":                   {[]Files{none, one, two, three}, "shelf, rack, hall"},
		"and a patch":             {[]Files{none, one, version("1.1.1", a), two, three}, "shelf, rack, hall"},
		"again in the same place": {[]Files{none, none, one, two, two}, ""},
		"two":                     {[]Files{none, one, two}, ""},
		"one of three did more":   {[]Files{none, wider, two, three}, ""},
	} {
		var history []*Snapshot
		for _, files := range tc.versions[:len(tc.versions)-1] {
			s, err := Parse(files)
			if err != nil {
				t.Fatal(err)
			}
			history = append(history, s)
		}
		found := ""
		for _, f := range Lint(tc.versions[len(tc.versions)-1], LintOptions{History: history}) {
			if f.Rule == "S08" && strings.Contains(f.Message, "minor versions") {
				_, found, _ = strings.Cut(f.Message, "fields: ")
				if f.Severity != SeverityWarning || f.File != balance || f.Pointer != "/info/version" || f.Line == 0 {
					t.Errorf("%s: %+v", name, f)
				}
			}
		}
		if found != tc.want {
			t.Errorf("%s: %q, want %q", name, found, tc.want)
		}
	}
}
