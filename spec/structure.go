// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/autobus-io/autobus"
)

//go:embed asyncapi-3.1.0.json.gz
var asyncAPIFile []byte

const asyncAPIVersion = "3.1.0"

// AsyncAPISchema is the official JSON Schema of AsyncAPI 3.1 documents, for editors.
func AsyncAPISchema() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(asyncAPIFile))
	if err != nil {
		return nil, fmt.Errorf("read the AsyncAPI schema: %w", err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("read the AsyncAPI schema: %w", err)
	}
	return raw, nil
}

// asyncAPI is the schema of AsyncAPI documents, compiled once, on first use.
var asyncAPI = sync.OnceValues(func() (*schema, error) {
	raw, err := AsyncAPISchema()
	if err != nil {
		return nil, err
	}
	s, err := compile(raw)
	if err != nil {
		return nil, fmt.Errorf("compile the AsyncAPI schema: %w", err)
	}
	s.open = true // it says itself where a document is closed
	return s, nil
})

// checkStructure holds a document against the AsyncAPI schema. It is false for what is no such document at all.
func (r *parser) checkStructure(doc place) bool {
	if v := doc.node.str("asyncapi"); v != asyncAPIVersion {
		r.report(doc.child("asyncapi"), "Write asyncapi: 3.1.0.", "the version of AsyncAPI must be %s", asyncAPIVersion)
		return false
	}
	s, err := asyncAPI()
	if err != nil {
		r.report(doc, "This is a fault of the bus.", "%v", err)
		return false
	}
	for _, f := range s.faults(doc.node.any()) {
		at := tokens(f.Pointer)
		hint, message := "See the AsyncAPI 3.1 specification.", sentence(f)
		switch {
		case inSchema(at):
			hint, message = schemaHint, schemaSentence(f)
		case f.Rule == "undeclared":
			hint = "Check the spelling; keys of your own begin with x-."
		}
		r.reportAt(doc.file, at, hint, "%s %s", f.Pointer, message)
	}
	return true
}

const schemaHint = "Payloads are JSON Schema draft-07: see what its specification says of this keyword."

// inSchema tells the places below which a document is JSON Schema.
func inSchema(path []string) bool {
	return slices.Contains(path, "payload") || slices.Contains(path, "headers") || slices.Contains(path, "schemas")
}

// schemaSentence says a fault of a schema itself. The most common one is a type that does not exist; the validator
// knows only which branches of a union it breaks.
func schemaSentence(f autobus.Fault) string {
	if strings.HasSuffix(f.Pointer, "/type") && (f.Rule == "enum" || f.Rule == "anyOf") {
		is := "is not a type"
		if f.Got != "" {
			is = "is " + f.Got + ", which is not a type"
		}
		return is + "; types are string, integer, number, boolean, object, array and null, or a list of them"
	}
	return sentence(f)
}

// whyUnusable is the reason for which a schema does not compile, without the address that only compile knows.
func whyUnusable(err error) string {
	if meta, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if invalid, ok := errors.AsType[*jsonschema.ValidationError](meta.Err); ok {
			if fs := settle(explainer{s: &schema{}}.explain(invalid)); len(fs) > 0 {
				return fmt.Sprintf("%s %s", fs[0].Pointer, schemaSentence(fs[0]))
			}
		}
	}
	return strings.ReplaceAll(err.Error(), schemaURL, "")
}
