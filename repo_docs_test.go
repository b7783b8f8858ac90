// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// The tests of this file hold the documents against the code. A document that can fail cannot rot.

var update = flag.Bool("update", false, "write the generated documents anew")

const maxArchitectureLines = 200

// architecture returns ARCHITECTURE.md.
func architecture(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestArchitectureShowsTheImportLaw compares the fenced block "imports" of ARCHITECTURE.md with the law. Its lines are
//
//	package   what it may import, separated by spaces; - for nothing, * for anything
//
// with internal/ left away and autobus for the root package. What follows two spaces and a # is a remark.
func TestArchitectureShowsTheImportLaw(t *testing.T) {
	short := func(dir string) string {
		if dir == "." {
			return "autobus"
		}
		return strings.TrimPrefix(dir, "internal/")
	}
	want := map[string]string{}
	var paste strings.Builder
	for _, dir := range slices.Sorted(maps.Keys(law)) {
		names := make([]string, len(law[dir]))
		for i, m := range law[dir] {
			names[i] = short(m)
		}
		slices.Sort(names)
		want[short(dir)] = strings.Join(names, " ")
		fmt.Fprintf(&paste, "%-12s %s\n", short(dir), cmp.Or(want[short(dir)], "-"))
	}
	block, ok := fenced(architecture(t), "imports")
	if !ok {
		t.Fatalf("ARCHITECTURE.md has no fenced block, it should be:\n```imports\n%s```", &paste)
	}
	got := map[string]string{}
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, " #")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		may := slices.DeleteFunc(fields[1:], func(s string) bool { return s == "-" })
		slices.Sort(may)
		got[fields[0]] = strings.Join(may, " ")
	}
	for name, may := range want {
		if shown, ok := got[name]; !ok {
			t.Errorf("ARCHITECTURE.md lacks the line %q", strings.TrimSpace(name+" "+may))
		} else if shown != may {
			t.Errorf("ARCHITECTURE.md: %s may import %q, repo_test.go says %q", name, shown, may)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("ARCHITECTURE.md has a line for %s, repo_test.go has none", name)
		}
	}
}

// fenced returns the fenced code block with that info string.
func fenced(text, info string) (block string, ok bool) {
	_, block, ok = strings.Cut(text, "\n```"+info+"\n")
	if !ok {
		return "", false
	}
	block, _, ok = strings.Cut(block, "\n```")
	return block, ok
}

func TestArchitectureIsShort(t *testing.T) {
	if n := strings.Count(architecture(t), "\n"); n > maxArchitectureLines {
		t.Errorf("ARCHITECTURE.md has %d lines, more than %d", n, maxArchitectureLines)
	}
}

// named finds symbols such as `bus.Bus.Publish` or `kafka.Open(ctx)` in backticks.
var named = regexp.MustCompile("`([a-z][a-z0-9]*)((?:\\.[A-Za-z]\\w*)+)(?:\\([^`]*\\))?`")

func TestArchitectureNamesWhatExists(t *testing.T) {
	symbols := map[string]bool{}
	packages := map[string]bool{}
	for _, f := range goFiles(t) {
		if !f.test {
			pkg := f.ast.Name.Name
			if pkg == "main" {
				pkg = path.Base(f.dir)
			}
			packages[pkg] = true
			declared(f.ast, func(symbol string) { symbols[pkg+"."+symbol] = true })
		}
	}
	for i, line := range strings.Split(architecture(t), "\n") {
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			symbol := m[1] + m[2]
			if packages[m[1]] && !symbols[symbol] && !strings.HasSuffix(symbol, ".go") {
				t.Errorf("ARCHITECTURE.md:%d names %s, which does not exist", i+1, symbol)
			}
		}
	}
}

// declared calls add for each symbol of a file: functions, types, values, methods, fields.
func declared(f *ast.File, add func(string)) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name.Name)
				continue
			}
			recv := d.Recv.List[0].Type
			if star, ok := recv.(*ast.StarExpr); ok {
				recv = star.X
			}
			if id, ok := recv.(*ast.Ident); ok {
				add(id.Name + "." + d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.ValueSpec:
					for _, name := range s.Names {
						add(name.Name)
					}
				case *ast.TypeSpec:
					add(s.Name.Name)
					members(s, add)
				}
			}
		}
	}
}

func members(s *ast.TypeSpec, add func(string)) {
	var list *ast.FieldList
	switch t := s.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, f := range list.List {
		for _, name := range f.Names {
			add(s.Name.Name + "." + name.Name)
		}
	}
}

// invariantRow is a row of the table of invariants: its number first, somewhere in it the tests that hold it.
var (
	invariantRow = regexp.MustCompile(`(?m)^\|?\s*(\d+)[.|\s].*$`)
	testName     = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
)

// testsOf returns the names that tests have.
func testsOf(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test || f.dir == "internal/bustest" {
			declared(f.ast, func(symbol string) { tests[symbol] = true })
		}
	}
	return tests
}

func TestDocumentsNameTestsThatExist(t *testing.T) {
	tests := testsOf(t)
	for p, text := range files(t, func(name string) bool { return path.Ext(name) == ".md" }) {
		for _, name := range testName.FindAllString(string(text), -1) {
			if !tests[name] {
				t.Errorf("%s names the test %s, which does not exist", p, name)
			}
		}
	}
}

func TestInvariantsNameTheirTests(t *testing.T) {
	tests := testsOf(t)
	_, section, ok := strings.Cut(architecture(t), "nvariants\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no heading Invariants")
	}
	section, _, _ = strings.Cut(section, "\n#")
	rows := invariantRow.FindAllString(section, -1)
	if len(rows) < 8 {
		t.Fatalf("%d invariants found in ARCHITECTURE.md, want a numbered row each", len(rows))
	}
	for _, row := range rows {
		names := testName.FindAllString(row, -1)
		if len(names) == 0 {
			t.Errorf("ARCHITECTURE.md: no test holds the invariant %q", row)
		}
		for _, name := range names {
			if !tests[name] {
				t.Errorf("ARCHITECTURE.md: the test %s of the invariant %q does not exist", name, row)
			}
		}
	}
}

const errorsHead = `# Errors

Generated from reason.go by 'go test . -run Reference -update'; do not edit.

Every error carries a closed 'code' and a stable 'reason'. *Retriable* says whether the same attempt may succeed later,
unchanged. *HTTP* is the status of a request, or of an event within a batch, that fails for this reason; *exit* the
status of a command. 'GET /problems/<reason>' tells the same.

| reason | code | HTTP | exit | retriable | what happened | what to do next |
|---|---|---|---|---|---|---|
`

func TestErrorReference(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(strings.ReplaceAll(errorsHead, "'", "`"))
	for _, r := range autobus.Reasons() {
		err := autobus.NewError(r.Reason, "")
		retriable := "no"
		if r.Retriable {
			retriable = "yes"
		}
		fmt.Fprintf(&b, "| <a id=\"%s\"></a>`%s` | %s | %d | %d | %s | %s | %s |\n", r.Reason, r.Reason, r.Code,
			edge.Status(err), edge.ExitCode(err), retriable, r.Title, escaped.Replace(r.Hint))
	}
	generated(t, "docs/reference/errors.md", b.Bytes())
}

// escaped keeps a text within its cell, and angle brackets from being taken for HTML.
var escaped = strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;")

// generated compares a document with what the code says, or writes it.
func generated(t *testing.T, file string, want []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says (%v); run go test . -run Reference -update", file, err)
	}
}

// link finds relative links of Markdown.
var link = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)\s]*)?\)`)

func TestDocumentsLinkToWhatExists(t *testing.T) {
	for p, text := range files(t, func(name string) bool { return path.Ext(name) == ".md" }) {
		for _, m := range link.FindAllSubmatch(text, -1) {
			to := path.Join(path.Dir(p), string(m[1]))
			if _, err := os.Stat(filepath.FromSlash(to)); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s links to %s, which does not exist", p, to)
			}
		}
	}
}
