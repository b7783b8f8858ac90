// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func exampleFiles(t *testing.T) Files {
	t.Helper()
	files, err := ReadDir(exampleRepository)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func replace(t *testing.T, files Files, file, old, text string) {
	t.Helper()
	if !strings.Contains(string(files[file]), old) {
		t.Fatalf("%s does not contain %q", file, old)
	}
	files[file] = []byte(strings.Replace(string(files[file]), old, text, 1))
}

// A warning is waived where it stands, in what holds it, or in info for its file; by its own rule and with a reason.
func TestWaivers(t *testing.T) {
	const enum, open = "enum: [card, cash, bonus], x-extensible: true", "enum: [card, cash, bonus]"
	for _, c := range []struct{ old, waiver, want string }{
		{open, open + ", x-lint-ignore: {S14: three for ever}", "waived: three for ever"},
		{"    MoneyRefunded:\n", "    MoneyRefunded:\n      x-lint-ignore: {S14: three for ever}\n",
			"waived: three for ever"},
		{"  x-audience: company\n", "  x-audience: company\n  x-lint-ignore: {S14: three for ever}\n",
			"waived: three for ever"},
		{open, open + ", x-lint-ignore: {S08: of another rule}", "found"},
		{"refundedAt: {type: string", "refundedAt: {x-lint-ignore: {S14: elsewhere}, type: string", "found"},
		{open, open + ", x-lint-ignore: {S14: ''}", "refused: the waiver of S14 gives no reason"},
		{open, open + ", x-lint-ignore: [S14]", "refused: x-lint-ignore must map rules to reasons"},
	} {
		files := exampleFiles(t)
		replace(t, files, refunded, enum, open)
		replace(t, files, refunded, c.old, c.waiver)
		got := "nothing"
		for _, f := range Lint(files, LintOptions{}) {
			switch {
			case f.Rule == "S01":
				got = "refused: " + f.Message
			case f.Waived != "" && f.Severity == SeverityWarning:
				got = "waived: " + f.Waived
			case !strings.HasPrefix(got, "refused"):
				got = "found"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.waiver, got, c.want)
		}
	}
}

// An error is waived only in a file that takes over a foreign schema.
func TestErrorsAreWaivedOnlyWhereWritersAreOpen(t *testing.T) {
	for _, open := range []bool{false, true} {
		files := exampleFiles(t)
		replace(t, files, balance, "format: int32, minimum: 0", "minimum: 0, x-lint-ignore: {S11: theirs}")
		if open {
			replace(t, files, balance, "  x-audience: company\n", "  x-writers: open\n")
		}
		found := Lint(files, LintOptions{})
		if len(found) != 1 || found[0].Rule != "S11" || (found[0].Waived != "") != open ||
			strings.Contains(found[0].Hint, "x-writers: open") == open {
			t.Errorf("open %v: %+v", open, found)
		}
	}
}

// Whatever is wrong with the files is told beside what is wrong with the specs, all at once.
func TestBadInputIsToldAtOnce(t *testing.T) {
	files := exampleFiles(t)
	replace(t, files, balance, "format: int32, minimum: 0", "minimum: 0")
	files["events/a/bomb.yaml"] = []byte("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + func() string {
		var b strings.Builder
		for c := 'b'; c < 'j'; c++ {
			fmt.Fprintf(&b, "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
		}
		return b.String()
	}())
	files["events/a/large.yaml"] = make([]byte, 10<<20)
	files["events/a/tab.yaml"] = []byte("asyncapi: 3.1.0\ninfo:\n\ttitle: x\n")
	files["common/circle.yaml"] = []byte("asyncapi: 3.1.0\ninfo: {title: c, version: 1.0.0}\ncomponents:\n  schemas:\n" +
		"    A: {$ref: '#/components/schemas/B'}\n    B: {$ref: '#/components/schemas/A'}\n" +
		"    C: {$ref: '#/components/schemas/None'}\n    D: {$ref: '../../outside.yaml'}\n" +
		"    E: {$ref: 'https://example.com/x.json'}\n")
	files["events/stock/copy.yaml"] = files[balance]
	found := map[string]bool{}
	for _, f := range Lint(files, LintOptions{}) {
		found[fmt.Sprintf("%s %s:%d", f.Rule, f.File, f.Line)] = true
		if f.Line == 0 || f.Hint == "" {
			t.Errorf("%+v", f)
		}
	}
	for _, want := range []string{"S01 events/a/large.yaml:1", "S01 events/a/tab.yaml:3", "S01 common/circle.yaml:5",
		"S01 common/circle.yaml:6", "S01 common/circle.yaml:7", "S01 common/circle.yaml:8", "S01 common/circle.yaml:9",
		"S02 events/stock/copy.yaml:14", "S11 " + balance + ":41"} {
		if !found[want] {
			t.Errorf("nobody found %s", want)
		}
		delete(found, want)
	}
	for at := range found {
		if !strings.HasPrefix(at, "S01 events/a/bomb.yaml") {
			t.Errorf("unexpected: %s", at)
		}
	}
}

// No file makes the linter fail, however it is broken.
func FuzzLint(f *testing.F) {
	for _, name := range []string{balance, command, payment} {
		data, err := os.ReadFile(exampleRepository + "/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		Lint(Files{balance: data, "services/a.yaml": data, "teams.yaml": data}, LintOptions{})
	})
}
