// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

func importOf(t *testing.T, files map[string]string, file, pointer string) (*Import, error) {
	t.Helper()
	return ImportSchema(Files{"teams.yaml": []byte("teams: [team-shop]")}, func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}, file, ImportOptions{Type: "shop.thing.made.v1", Owner: "team-shop", Pointer: pointer})
}

// Whatever data the foreign schema takes, the spec made of it takes; and the linter has nothing to say.
func TestImportedSchemasTakeTheirData(t *testing.T) {
	for _, c := range []struct {
		name, pointer string
		files         map[string]string
		takes         []string
		refuses       []string
	}{
		{name: "draft 4 with a pointer and files", pointer: "/definitions/Order", files: map[string]string{
			"in.json": `{"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://example.com/in.json",
				"definitions": {
				"Order": {"type": "object", "required": ["id"], "properties": {
					"id": {"type": "integer", "minimum": 0, "exclusiveMinimum": true},
					"tree": {"$ref": "#/definitions/Tree"}, "again": {"$ref": "http://example.com/in.json#/definitions/Tree"},
					"address": {"$ref": "sub/common.yaml#/definitions/Address"}}},
				"Tree": {"type": "object", "properties": {"children": {"type": "array",
					"items": {"$ref": "#/definitions/Tree"}}}}}}`,
			"sub/common.yaml": "definitions:\n  Address: {type: object, properties: {zip: {$ref: '../zip.json'}}}\n",
			"zip.json":        `{"type": "string", "maxLength": 5}`,
		}, takes: []string{`{"id": 1}`, `{"id": 1, "other": true, "tree": {"children": [{"children": []}]},
			"address": {"zip": "12345"}}`},
			refuses: []string{`{"id": 0}`, `{}`, `{"id": 1, "address": {"zip": "123456"}}`,
				`{"id": 1, "again": {"children": [1]}}`}},
		{name: "draft 2020-12", files: map[string]string{"in.json": `{"$id": "https://example.com/a/b",
			"$defs": {"n": {"$anchor": "num", "type": "number", "minimum": 1},
			"loop": {"$id": "loop.json", "type": "object", "properties": {"next": {"$ref": "loop.json"}}}},
			"type": "object", "properties": {"a": {"$ref": "#num"}, "l": {"$ref": "loop.json"},
			"t": {"type": "array", "prefixItems": [{"type": "string"}, {"$ref": "#/$defs/n"}], "items": false}},
			"dependentRequired": {"a": ["t"]}}`},
			takes:   []string{`{}`, `{"a": 1, "t": ["x", 2]}`, `{"l": {"next": {"next": {}}}}`},
			refuses: []string{`{"a": 1}`, `{"t": ["x", 2, 3]}`, `{"a": 0, "t": []}`, `{"l": {"next": 1}}`}},
		{name: "files that know each other by address", files: map[string]string{
			"in.json": `{"$id": "https://example.com/a/in.json", "type": "object",
				"properties": {"x": {"$ref": "https://example.com/a/sub/x.json"}}}`,
			"sub/x.json": `{"$id": "https://example.com/a/sub/x.json",
				"$ref": "https://example.com/a/sub/y.json#/definitions/y"}`,
			"sub/y.json": `{"definitions": {"y": {"type": "integer"}}}`},
			takes: []string{`{"x": 1}`}, refuses: []string{`{"x": "1"}`}},
		{name: "formats and dates of their own", files: map[string]string{"in.json": `{"type": "object",
			"properties": {"at": {"type": "string", "format": "date-time"}, "n": {"type": "string", "nullable": true}}}`},
			takes: []string{`{"at": "yesterday", "n": null}`}, refuses: []string{`{"at": 1}`}},
		{name: "what is left out below oneOf and not", files: map[string]string{"in.json": `{"type": "object",
			"properties": {"s": {"oneOf": [{"type": "string", "pattern": "^(?=a)"}, {"type": "string", "pattern": "^b"}]},
			"n": {"not": {"$ref": "#/definitions/odd"}}},
			"definitions": {"odd": {"type": "string", "pattern": "^(?!a)"}}}`},
			takes: []string{`{"s": "a", "n": "ab"}`, `{"s": "b"}`}, refuses: []string{`{"s": 1}`}},
		{name: "names of places, and schemas that are true or false", files: map[string]string{"in.json": `{
			"type": "object", "properties": {"any": {"$ref": "#/definitions/Any"}, "none": {"$ref": "#/definitions/None"},
			"name": {"$ref": "#/definitions/a~1b%20c"}, "again": {"$ref": "#name"}},
			"definitions": {"Any": true, "None": false, "a/b c": {"$id": "#name", "type": "string"}}}`},
			takes: []string{`{"any": [1], "name": "x", "again": "y"}`}, refuses: []string{`{"none": 1}`, `{"again": 1}`}},
		{name: "a schema that takes anything", files: map[string]string{"in.json": `true`},
			takes: []string{`{"a": [1]}`, `7`}},
		{name: "a closed schema stays closed", files: map[string]string{"in.json": `{"type": "object",
			"properties": {"a": {}}, "additionalProperties": false}`},
			takes: []string{`{"a": [1]}`}, refuses: []string{`{"b": 1}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			done, err := importOf(t, c.files, "in.json", c.pointer)
			if err != nil {
				t.Fatal(err)
			}
			files := Files{"teams.yaml": []byte("teams: [team-shop]"), done.File: done.Content}
			for _, f := range Lint(files, LintOptions{}) {
				if f.Waived == "" {
					t.Errorf("%s %s", f.Rule, f.Problem)
				}
			}
			s, err := Parse(files)
			if err != nil {
				t.Fatal(err)
			}
			typ, _ := s.Type("shop.thing.made.v1")
			for _, data := range c.takes {
				if err := typ.Check([]byte(data)); err != nil {
					t.Errorf("%s: %v\n%s", data, err, done.Content)
				}
			}
			for _, data := range c.refuses {
				if typ.Check([]byte(data)) == nil {
					t.Errorf("%s is taken\n%s", data, done.Content)
				}
			}
		})
	}
}

// What cannot be taken over is told, and the network is never asked.
func TestSchemasThatCannotBeImported(t *testing.T) {
	for text, want := range map[string]string{
		`{"$ref": "https://example.com/other.json"}`: "not read over the network",
		`{"$ref": "../../secret.json"}`:              "leads out of the folder",
		`{"$ref": "/etc/passwd"}`:                    "nor from outside",
		`{"$ref": "missing.json"}`:                   "does not exist",
		`{"items": {"$ref": "#/definitions/none"}}`:  "has no /definitions",
		`{"$ref": "#nowhere"}`:                       "no anchor nowhere",
		`{"$ref": "#"}`:                              "circle",
		`{"type": "object"`:                          "cannot be read",
		`{"type": "strung"}`:                         "is not a type",
		`{"allOf": [{"$ref": "#/definitions/a"}],
			"definitions": {"a": {"allOf": [{"$ref": "#/definitions/a"}]}}}`: "itself",
	} {
		_, err := importOf(t, map[string]string{"in.json": text}, "in.json", "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		e, known := errors.AsType[*autobus.Error](err)
		if _, problems := errors.AsType[Problems](err); !problems && (!known || e.Reason != autobus.ReasonSpecInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := importOf(t, map[string]string{"in.json": `{}`}, "in.json", "/definitions/x"); err == nil {
		t.Error("a pointer to nothing is taken")
	}
}

// An exported schema or document says what the spec says.
func TestExports(t *testing.T) {
	s := parseDir(t, exampleRepository)
	for _, asJSON := range []bool{false, true} {
		doc, err := ExportAsyncAPI(s.Types(), "shop", asJSON)
		if err != nil {
			t.Fatal(err)
		}
		r := parse(Files{"all.yaml": doc})
		alone := slices.DeleteFunc(r.problems, func(p Problem) bool {
			return strings.Contains(p.Message, "second event type")
		})
		if len(alone) > 0 {
			t.Errorf("%v", alone)
		}
	}
	for _, typ := range s.Types() {
		raw, err := typ.ExportJSONSchema()
		if err != nil {
			t.Fatal(err)
		}
		v, err := CheckSchemas([][]byte{typ.Schema}, raw, LevelFull, PolicyStrict)
		if err != nil || !v.Compatible {
			t.Errorf("%s: %v %v", typ.Name, v, err)
		}
	}
}
