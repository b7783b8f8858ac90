// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"sync"
)

//go:embed asyncapi-3.1.0.json.gz
var asyncAPIFile []byte

const asyncAPIVersion = "3.1.0"

// asyncAPI is the schema of AsyncAPI documents, compiled once, on first use.
var asyncAPI = sync.OnceValues(func() (*schema, error) {
	z, err := gzip.NewReader(bytes.NewReader(asyncAPIFile))
	if err != nil {
		return nil, fmt.Errorf("read the AsyncAPI schema: %w", err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("read the AsyncAPI schema: %w", err)
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
		hint := "See the AsyncAPI 3.1 specification."
		if f.Rule == "undeclared" {
			hint = "Check the spelling; keys of your own begin with x-."
		}
		r.reportAt(doc.file, tokens(f.Pointer), hint, "%s %s", f.Pointer, sentence(f))
	}
	return true
}
