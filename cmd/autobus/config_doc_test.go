// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents instead of comparing them")

const configReference = "../../docs/reference/config.md"

// TestConfigReference holds docs/reference/config.md to the comments of the configuration.
// go test ./cmd/autobus -run ConfigReference -update writes it.
func TestConfigReference(t *testing.T) {
	golden(t, configReference, renderConfigReference(t))
}

func golden(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not up to date; run go test ./cmd/autobus -update", file)
	}
}

func renderConfigReference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("<!-- Generated from cmd/autobus/config.go by go test ./cmd/autobus -update. Do not edit. -->\n\n" +
		"# Configuration of `autobus serve`\n\n" +
		"One YAML file, given by `--config`. A key that does not exist is an error, so is a variable `AUTOBUS_...`\n" +
		"that belongs to none, and all errors are told at once with their lines. A variable named like the key wins over\n" +
		"the file, a flag over the variable; an empty one counts as absent. Lists in variables are separated by\n" +
		"commas. Variables of the commands (AUTOBUS_SERVER) and of an orchestrator (AUTOBUS_SERVICE_HOST) are left\n" +
		"alone. Paths are relative to the folder the program is started in.\n" +
		"Below: the key, its default, its variable.\n\n" +
		"```yaml\nlisten: 0.0.0.0:7070\ntls: {cert_file: /etc/autobus/tls.crt, key_file: /etc/autobus/tls.key}\n" +
		"kafka:\n  name: main\n  brokers: [kafka-1:9092, kafka-2:9092, kafka-3:9092]\n" +
		"  sasl: {mechanism: scram-sha-512, user: autobus, password_file: /run/secrets/kafka}\nspecs: /etc/autobus/specs\n" +
		"```\n\n")
	c := defaultConfig()
	renderKeys(t, &b, serveVariables, valueOf(&c), configComments(t, "config.go", "config"))
	return b.String()
}

// renderKeys writes the keys of a configuration with their comments.
func renderKeys(t *testing.T, b *strings.Builder, prefix string, c reflect.Value, comments map[string]string) {
	t.Helper()
	leaves("", c, func(path string, v reflect.Value) {
		comment, ok := comments[path]
		if !ok || comment == "" {
			t.Errorf("no comment says what %s is", path)
		}
		if !listed(v) {
			fmt.Fprintf(b, "- **`%s`**%s, `%s`\n%s", path, defaultText(v), envName(prefix, path), wrap(comment, "  ", 118))
			return
		}
		fmt.Fprintf(b, "- **`%s`**, a list\n%s", path, wrap(comment, "  ", 118))
		leaves(path+"[]", reflect.New(v.Type().Elem()).Elem(), func(path string, _ reflect.Value) {
			if comments[path] == "" {
				t.Errorf("no comment says what %s is", path)
			}
			fmt.Fprintf(b, "- **`%s`**\n%s", path, wrap(comments[path], "  ", 118))
		})
	})
}

func defaultText(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	return fmt.Sprintf(" = `%v`", v.Interface())
}

// wrap breaks text into indented lines.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width && line != indent {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

// configComments reads the doc comments of a configuration's fields, by path. Its struct is in the file, those of its
// fields are there or in config.go.
func configComments(t *testing.T, in, root string) map[string]string {
	t.Helper()
	structs := map[string]*ast.StructType{}
	for _, name := range []string{in, "config.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					structs[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	out := map[string]string{}
	var walk func(path, name string)
	walk = func(path, name string) {
		for _, f := range structs[name].Fields.List {
			key := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
			at := join(path, key)
			out[at] = strings.ReplaceAll(strings.TrimSpace(f.Doc.Text()), "\n", " ")
			typ := f.Type
			if list, ok := typ.(*ast.ArrayType); ok {
				at, typ = at+"[]", list.Elt
			}
			if ident, ok := typ.(*ast.Ident); ok && structs[ident.Name] != nil {
				walk(at, ident.Name)
			}
		}
	}
	walk("", root)
	return out
}
