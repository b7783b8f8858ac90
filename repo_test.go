// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// The tests of this file hold the code of the whole repository against the rules of the house. A failure says which
// line to change; a rule is changed here and in ARCHITECTURE.md together.

const module = "github.com/autobus-io/autobus"

// law says which packages of this module a package may import outside its tests. Every package has its row, "." is the
// root package, "*" stands for any. ARCHITECTURE.md shows the same table.
var law = map[string][]string{
	".":                {},
	"autobustest":      {".", "spec"},
	"spec":             {"."},
	"ipc":              {"."},
	"client":           {".", "internal/wire"},
	"outbox":           {"."},
	"internal/kafka":   {"."},
	"internal/control": {".", "internal/kafka"},
	"internal/ledger":  {},
	"internal/wire":    {"."},
	"internal/quota":   {"."},
	"internal/delay":   {".", "internal/kafka"},
	"internal/bus": {".", "spec", "internal/kafka", "internal/control", "internal/ledger", "internal/quota",
		"internal/delay"},
	"internal/peer":          {".", "client"},
	"internal/edge":          {".", "internal/quota"},
	"internal/edge/rest":     {".", "ipc", "internal/edge"},
	"internal/edge/rpc":      {".", "ipc", "internal/edge"},
	"internal/edge/ws":       {".", "internal/edge", "internal/wire"},
	"internal/sink":          {".", "spec", "internal/kafka"},
	"internal/sink/store":    {".", "spec", "internal/sink"},
	"internal/sink/postgres": {"internal/sink", "internal/sink/store"},
	"internal/sink/sqlite":   {"internal/sink", "internal/sink/store"},
	"internal/registry":      {".", "spec", "internal/kafka", "internal/control", "internal/edge"},
	"internal/admin": {".", "spec", "internal/kafka", "internal/control", "internal/bus",
		"internal/edge", "internal/quota"},
	"internal/relay":   {".", "outbox"},
	"internal/bridge":  {".", "ipc", "internal/edge"},
	"internal/push":    {"."},
	"internal/doctor":  {".", "spec", "internal/kafka", "internal/control", "internal/delay", "internal/registry"},
	"internal/bench":   {".", "internal/kafka"},
	"internal/bustest": {".", "internal/kafka"},
	"cmd/autobus":      {"*"},
	"tools/suites":     {},
}

// Planes: the data plane touches every event and never imports the control plane.
var (
	dataPlane = []string{"internal/kafka", "internal/ledger", "internal/wire", "internal/quota", "internal/delay",
		"internal/bus", "internal/peer", "internal/relay", "internal/bridge", "internal/push", "internal/edge",
		"internal/sink", "internal/mirror"}
	controlPlane = []string{"internal/registry", "internal/codegen", "internal/monitor", "internal/repartition",
		"internal/admin", "internal/doctor", "internal/bench"}
)

// kafkaClients may import the Kafka client: the log, and an example whose point is to do without the bus. So may tests.
var kafkaClients = []string{"internal/kafka", "examples/flights/direct"}

const (
	maxFileLines = 800
	maxColumns   = 120
	maxChain     = 5 // imports from a command down to the root package
)

// goFile is one parsed Go file.
type goFile struct {
	path, dir string // slash-separated, relative to the repository
	test      bool
	text      []byte
	ast       *ast.File
	fset      *token.FileSet
	imports   map[string]string // path -> local name, "" = the package's own
}

func (f goFile) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(pos).Line)
}

// files reads the repository's files whose name fits. Hidden folders and testdata are left out.
func files(t *testing.T, fits func(name string) bool) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			skip := p != "." && strings.HasPrefix(d.Name(), ".") && d.Name() != ".ci" || d.Name() == "testdata" ||
				d.Name() == "node_modules"
			if skip {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !fits(d.Name()) {
			return nil
		}
		text, err := os.ReadFile(p)
		out[filepath.ToSlash(p)] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	for p, text := range files(t, func(name string) bool { return path.Ext(name) == ".go" }) {
		f := goFile{path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), text: text,
			fset: token.NewFileSet(), imports: map[string]string{}}
		var err error
		if f.ast, err = parser.ParseFile(f.fset, p, text, parser.ParseComments); err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.ast.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			f.imports[p] = ""
			if spec.Name != nil {
				f.imports[p] = spec.Name.Name
			}
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b goFile) int { return strings.Compare(a.path, b.path) })
	if len(out) < 20 {
		t.Fatalf("only %d Go files found: the walk is broken", len(out))
	}
	return out
}

// own gives the folder of an import path of this module.
func own(importPath string) (dir string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// within reports whether dir is one of the folders or below one.
func within(dir string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return dir == f || strings.HasPrefix(dir, f+"/") })
}

// outside reports the folders that are no packages of the product: the law has no rows for them, they are users.
func outside(dir string) bool { return within(dir, []string{"examples", "test"}) }

func TestImportLaw(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		seen[f.dir] = true
		for p := range f.imports {
			if strings.Contains(p, "twmb/franz-go") && !f.test && !slices.Contains(kafkaClients, f.dir) &&
				f.dir != "internal/bustest" {
				t.Errorf("%s imports %s: only internal/kafka knows the Kafka client", f.path, p)
			}
			to, ok := own(p)
			if !ok || f.test {
				continue
			}
			if to == "internal/bustest" && !within(f.dir, []string{"test"}) {
				t.Errorf("%s imports internal/bustest, which is for tests only", f.path)
			}
			if within(f.dir, dataPlane) && within(to, controlPlane) {
				t.Errorf("%s is of the data plane and imports %s of the control plane", f.path, to)
			}
			if outside(f.dir) {
				if strings.HasPrefix(to, "internal/") && within(f.dir, []string{"examples"}) {
					t.Errorf("%s imports %s: an example uses what a user can use", f.path, to)
				}
				continue
			}
			if may := law[f.dir]; !slices.Contains(may, to) && !slices.Contains(may, "*") {
				t.Errorf("%s imports %s: the law for %s allows %v", f.path, to, f.dir, may)
			}
		}
	}
	for dir := range seen {
		if _, ok := law[dir]; !ok && !outside(dir) {
			t.Errorf("package %s has no row in the import law (repo_test.go and ARCHITECTURE.md)", dir)
		}
	}
	for dir := range law {
		if !seen[dir] {
			t.Errorf("the import law has a row for %s, which does not exist", dir)
		}
	}
}

func TestImportChain(t *testing.T) {
	graph := map[string]map[string]bool{}
	for _, f := range goFiles(t) {
		for p := range f.imports {
			if to, ok := own(p); ok && !f.test && !outside(f.dir) {
				if graph[f.dir] == nil {
					graph[f.dir] = map[string]bool{}
				}
				graph[f.dir][to] = true
			}
		}
	}
	var longest func(dir string) []string
	longest = func(dir string) (best []string) {
		for to := range graph[dir] {
			if chain := longest(to); len(chain) > len(best) {
				best = chain
			}
		}
		return append([]string{dir}, best...)
	}
	for dir := range graph {
		if chain := longest(dir); len(chain)-1 > maxChain {
			t.Errorf("a chain of %d imports, at most %d: %s", len(chain)-1, maxChain, strings.Join(chain, " -> "))
		}
	}
}

func TestFiles(t *testing.T) {
	for _, f := range goFiles(t) {
		if !bytes.HasPrefix(f.text, []byte("// SPDX-License-Identifier: Apache-2.0\n\n")) &&
			!bytes.HasPrefix(f.text, []byte("// SPDX-License-Identifier: Apache-2.0\n//go:build ")) {
			t.Errorf("%s: the first line is not the licence's SPDX line, followed by an empty one", f.path)
		}
		lines := bytes.Split(f.text, []byte("\n"))
		if len(lines) > maxFileLines {
			t.Errorf("%s has %d lines, more than %d: split it", f.path, len(lines), maxFileLines)
		}
		for i, line := range lines {
			if n := utf8.RuneCount(line); n > maxColumns {
				t.Errorf("%s:%d has %d columns, more than %d", f.path, i+1, n, maxColumns)
			}
		}
	}
}

func TestPackages(t *testing.T) {
	documented, tested, leakChecked := map[string]bool{}, map[string]string{}, map[string]bool{}
	dirs := map[string]bool{}
	for _, f := range goFiles(t) {
		dirs[f.dir] = true
		if f.ast.Doc != nil && len(strings.TrimSpace(f.ast.Doc.Text())) > 40 {
			documented[f.dir] = true
		}
		if !f.test {
			continue
		}
		_, goleak := f.imports["go.uber.org/goleak"]
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			if fn.Name.Name == "TestMain" {
				leakChecked[f.dir] = goleak
			} else if strings.HasPrefix(fn.Name.Name, "Test") {
				tested[f.dir] = f.path
			}
		}
	}
	for dir := range dirs {
		if !documented[dir] {
			t.Errorf("package %s has no package comment that says what it owns and refuses to know", dir)
		}
	}
	for dir, file := range tested {
		if !leakChecked[dir] {
			t.Errorf("package %s has tests (%s) and no TestMain with goleak", dir, file)
		}
	}
}

func TestHabits(t *testing.T) {
	variables := map[string]map[string]bool{} // per folder, the names at package level
	global := map[*ast.ValueSpec]bool{}
	all := goFiles(t)
	for _, f := range all {
		for _, d := range f.ast.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR && !f.test {
				for _, s := range g.Specs {
					spec := s.(*ast.ValueSpec)
					global[spec] = true
					for _, name := range spec.Names {
						if name.Name == "_" {
							continue
						}
						if variables[f.dir] == nil {
							variables[f.dir] = map[string]bool{}
						}
						variables[f.dir][name.Name] = true
					}
				}
			}
		}
	}
	for _, f := range all {
		_, fakeTime := f.imports["testing/synctest"]
		isMain := path.Base(f.path) == "main.go"
		testMain := false
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			testMain = testMain || fn.Name.Name == "TestMain"
			if fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s: init() runs behind everybody's back; call it from where it is needed", f.at(fn.Pos()))
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				pkg, ok := n.X.(*ast.Ident)
				if !ok || pkg.Obj != nil {
					return true
				}
				switch name := pkg.Name + "." + n.Sel.Name; {
				case name == "os.Exit" && !isMain && !testMain, strings.HasPrefix(name, "log.Fatal"):
					t.Errorf("%s: %s outside main.go; return an error", f.at(n.Pos()), name)
				case name == "time.Sleep" && !(f.test && fakeTime):
					t.Errorf("%s: time.Sleep; wait for a signal, or in a synctest bubble", f.at(n.Pos()))
				}
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					if name, ok := assigned(to, global); ok && n.Tok != token.DEFINE && variables[f.dir][name] {
						t.Errorf("%s: the package-level variable %s is changed", f.at(to.Pos()), name)
					}
				}
			case *ast.IncDecStmt:
				if name, ok := assigned(n.X, global); ok && variables[f.dir][name] {
					t.Errorf("%s: the package-level variable %s is changed", f.at(n.Pos()), name)
				}
			}
			return true
		})
	}
}

// assigned gives the variable below an assignment's left side, unless it is a local one.
func assigned(e ast.Expr, global map[*ast.ValueSpec]bool) (name string, ok bool) {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.Ident:
			if x.Obj == nil { // declared in another file
				return x.Name, true
			}
			spec, isVar := x.Obj.Decl.(*ast.ValueSpec)
			return x.Name, isVar && global[spec]
		default:
			return "", false
		}
	}
}

// forbidden are words that tie the repository to one machine or one moment. They are put together here so that this
// file does not hold them itself.
var forbidden = regexp.MustCompile(strings.Join([]string{
	`/wo` + `rk/`, `/ro` + `ot/`, `/ho` + `me/`, `/t` + `mp/`, `TO` + `DO`, `FIX` + `ME`, `\bXX` + `X\b`,
	`proxy\.golang\` + `.org`, `sum\.golang\` + `.org`, `repo1?\.maven\` + `.`, `registry\.npmjs\` + `.`, `pypi\` + `.org`,
	`\bgo` + `proxy\b`, `(ghcr|quay|docker)\` + `.io\b`,
}, "|"))

func TestForbiddenWords(t *testing.T) {
	kinds := []string{".go", ".md", ".yaml", ".yml", ".sh", ".txt", ".json", ".toml", ".html", ".txtar", ""}
	for p, text := range files(t, func(name string) bool { return slices.Contains(kinds, path.Ext(name)) }) {
		if p == "LICENSE" || !utf8.Valid(text) {
			continue
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if word := forbidden.Find(line); word != nil {
				t.Errorf("%s:%d holds %q, which has no place in the repository", p, i+1, word)
			}
		}
	}
}
