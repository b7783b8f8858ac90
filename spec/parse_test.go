// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestBadSpecs holds the problems of each archive against the "# want:" comments beside the bad lines. A line's
// comment is a part of its message; the file "want" lists problems of files in which no comment can stand.
func TestBadSpecs(t *testing.T) {
	archives, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(archives) < 5 {
		t.Fatalf("found %d archives", len(archives))
	}
	for _, name := range archives {
		t.Run(filepath.Base(name), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files, wants := Files{}, map[string]string{}
			for _, f := range a.Files {
				if f.Name == "want" {
					for line := range strings.Lines(string(f.Data)) {
						file, want, _ := strings.Cut(strings.TrimSpace(line), ": ")
						wants[file] = want
					}
					continue
				}
				files[f.Name] = f.Data
				for i, line := range strings.Split(string(f.Data), "\n") {
					if _, want, ok := strings.Cut(line, "# want: "); ok {
						wants[fmt.Sprintf("%s:%d", f.Name, i+1)] = want
					}
				}
			}
			_, err = Parse(files)
			for _, p := range problemsOf(t, err) {
				at := fmt.Sprintf("%s:%d", p.File, p.Line)
				if _, ok := wants[at]; !ok {
					at = p.File
				}
				want, ok := wants[at]
				if !ok || !strings.Contains(p.Message, want) {
					t.Errorf("unexpected: %s", p)
					continue
				}
				delete(wants, at)
				if p.Hint == "" || strings.Contains(p.Message, schemaURL) {
					t.Errorf("not for people: %s; hint: %s", p, p.Hint)
				}
			}
			for _, at := range slices.Sorted(maps.Keys(wants)) {
				t.Errorf("%s: nobody said: %s", at, wants[at])
			}
		})
	}
}

func TestParseShop(t *testing.T) {
	s := parseDir(t, "testdata/shop")
	if s.Len() != 2 || s.Types()[0].Name != "orders.order.placed.v1" || s.Types()[1].Name != "refunds.refund.create.v1" {
		t.Fatalf("got %d types", s.Len())
	}
	ty, ok := s.Type("orders.order.placed.v1")
	if !ok {
		t.Fatal("not found")
	}
	got := *ty
	schema := string(got.Schema)
	got.Schema, got.Examples, got.schema, got.program, got.identity = nil, nil, nil, nil, nil
	want := Type{Name: "orders.order.placed.v1", Version: "1.2.0", Title: "orders.order.placed",
		Description: "A customer placed an order.", Owner: "team-checkout", Kind: "event", Lifecycle: "active",
		File: "events/orders/order.placed.v1.yaml", Line: 7, KeyPointer: "/orderId", Partitions: 12, Replicas: 3,
		PartitionsAt: Place{"events/orders/order.placed.v1.yaml", 9},
		Configs: map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000", "min.insync.replicas": "2",
			"max.message.bytes": "262144"}, MaxEventBytes: 262144 - 1024, Partitioner: "murmur2",
		Compatibility: LevelFullTransitive}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if !strings.HasPrefix(schema, `{"type":"object","required":["orderId","placedAt"`) || !json.Valid(ty.Schema) ||
		!strings.Contains(schema, `"total":{"$ref":"#/definitions/Money"}`) ||
		!strings.Contains(schema, `"definitions":{"Money":{`) {
		t.Errorf("the schema is not self-contained or lost its order: %s", schema)
	}
	if c, _ := s.Type("refunds.refund.create.v1"); c.Kind != "command" || c.MaxEventBytes != 1_000_000 || c.Line == 0 {
		t.Errorf("got %+v", c)
	}
	if _, ok := s.Type("refunds.refund.create.v1.reply"); ok {
		t.Error("a reply became a type")
	}
}

func TestParseFlatFolder(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"order.yml": specOf(`{type: object, properties: {id: {type: string}}}`, "x-unordered: true",
			"x-durability: best-effort", "x-partitioner: sarama"),
		"README.md":       []byte("# specs"),
		".hidden.yaml":    []byte("\tno yaml"),
		".git/config.yml": []byte("\tno yaml"),
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("order.yml", filepath.Join(dir, "linked.txt")); err != nil {
		t.Fatal(err)
	}
	s := parseDir(t, dir)
	ty, ok := s.Type("tests.thing.made.v1")
	if !ok || !ty.Unordered || !ty.BestEffort || ty.Partitioner != "sarama" || ty.Partitions != 0 || ty.Configs == nil {
		t.Fatalf("got %+v", ty)
	}
}

func TestReadDirFollowsLinksToFiles(t *testing.T) {
	dir := t.TempDir()
	hidden := filepath.Join(dir, "..data") // how Kubernetes mounts a ConfigMap
	if err := os.Mkdir(hidden, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hidden, "a.yaml"), specOf(`{type: object}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if s := parseDir(t, dir); s.Len() != 1 {
		t.Errorf("got %d types, want 1", s.Len())
	}
}

func TestReadDirSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "nowhere")
	if err := os.Symlink("nothing.yaml", filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		gone: "spec_invalid: the folder " + gone + " cannot be read: no such file or directory",
		dir:  "spec_invalid: the spec " + filepath.Join(dir, "a.yaml") + " cannot be read: no such file or directory",
	} {
		if _, err := ReadDir(at); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := Fingerprint(at); err == nil || err.Error() != want {
			t.Errorf("fingerprint: got %v, want %s", err, want)
		}
	}
}

// Where the count of partitions is said, also when that is in a file that several types share.
func TestPartitionsAt(t *testing.T) {
	event := strings.Replace(string(specOf(`{type: object}`)), "    messages:", "    bindings: %s\n    messages:", 1)
	for bindings, want := range map[string]Place{
		`{$ref: 'common.yaml#/small'}`: {"common.yaml", 3},
		`{kafka: {partitions: 3}}`:     {"a.yaml", 6},
		`{kafka: {replicas: 3}}`:       {"a.yaml", 5},
		`{}`:                           {"a.yaml", 5},
	} {
		s, err := Parse(Files{"a.yaml": fmt.Appendf(nil, event, bindings),
			"common.yaml": []byte("small:\n  kafka:\n    partitions: 3\n")})
		if err != nil {
			t.Fatal(err)
		}
		if ty := s.Types()[0]; ty.PartitionsAt != want || ty.Line != 5 {
			t.Errorf("%s: got %+v, line %d; want %+v, line 5", bindings, ty.PartitionsAt, ty.Line, want)
		}
	}
}

// Where a fault is in a schema, the hint does not send its reader to the AsyncAPI specification.
func TestHintsOfStructure(t *testing.T) {
	event := strings.Replace(string(specOf(`{properties: {a: {maxLength: -1}}}`)), "    messages:",
		"    bindings: {kafka: {partitions: 0}}\n    messages:", 1)
	_, err := Parse(Files{"a.yaml": []byte(event)})
	ps := problemsOf(t, err)
	if len(ps) != 2 || !strings.Contains(ps[0].Hint, "AsyncAPI") || !strings.Contains(ps[1].Hint, "JSON Schema draft-07") {
		t.Errorf("got %+v", ps)
	}
}

func TestSyntaxFaultsHaveALine(t *testing.T) {
	_, err := Parse(Files{"a.yaml": []byte("asyncapi: 3.1.0\x01")}) // of this one the parser knows no line
	if ps := problemsOf(t, err); len(ps) != 1 || ps[0].Line != 1 {
		t.Errorf("got %+v", ps)
	}
}

func TestProblemWithoutAFile(t *testing.T) {
	if got := (Problem{Message: "all is lost"}).String(); got != "all is lost" {
		t.Errorf("got %q", got)
	}
}

func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("asyncapi: 3.1.0\nx-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		refs := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", ")
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i, i, refs)
	}
	_, err := Parse(Files{"bomb.yaml": []byte(b.String())})
	if ps := problemsOf(t, err); len(ps) != 1 || !strings.Contains(ps[0].Message, "values or nested deeper") {
		t.Errorf("got %v", ps)
	}
}

func TestProblemsAreInOrder(t *testing.T) {
	bad := string(specOf(`{type: object}`, "x-writers: maybe", "x-formats: maybe"))
	_, err := Parse(Files{"b.yaml": []byte(bad), "a.yaml": []byte("\tx: 1")})
	want := "a.yaml:1:1: a tab in the indentation\n" +
		"b.yaml:9:9: x-writers has no such value\nb.yaml:10:9: x-formats has no such value"
	if got := problemsOf(t, err).Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNear(t *testing.T) {
	s := parseDir(t, "testdata/shop")
	for name, want := range map[string]string{
		"orders.order.placed.v2":  "orders.order.placed.v1",
		"order.order.placed.v1":   "orders.order.placed.v1",
		"orders.order.placed":     "orders.order.placed.v1",
		"refund.refund.create.v1": "refunds.refund.create.v1",
		"something.else.made.v1":  "",
		strings.Repeat("x", 1000): "",
	} {
		if got := strings.Join(s.Near(name, 3), " "); got != want {
			t.Errorf("near %s: got %q, want %q", shorten(name, 40), got, want)
		}
	}
	if got := Empty().Near("a.b.v1", 3); len(got) != 0 || Empty().Len() != 0 || len(Empty().Types()) != 0 {
		t.Errorf("got %v of nothing", got)
	}
}

func FuzzParse(f *testing.F) {
	archives, _ := filepath.Glob("testdata/bad/*.txtar")
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			f.Add(file.Data)
		}
	}
	f.Add(specOf(`{type: object, properties: {a: {type: [string, 'null'], format: date-time}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(Files{"events/a.yaml": data})
		if (s == nil) == (err == nil) {
			t.Fatalf("got %v, %v: neither or both", s, err)
		}
		if err != nil {
			_ = problemsOf(t, err).Error()
			return
		}
		for _, ty := range s.Types() {
			if example, ok := ty.Example(); ok && ty.Check(example) != nil {
				t.Fatalf("its own example is refused: %s", example)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	files := Files{}
	for i := range 100 {
		files[fmt.Sprintf("events/t%d.yaml", i)] = []byte(strings.ReplaceAll(string(specOf(
			`{type: object, required: [id], properties: {id: {type: string}, n: {type: integer, format: int32}}}`,
			"examples: [{payload: {id: a, n: 1}}]")), "tests.thing", fmt.Sprintf("tests.thing%d", i)))
	}
	for b.Loop() {
		if _, err := Parse(files); err != nil {
			b.Fatal(err)
		}
	}
}
