// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/autobus-io/autobus/spec"
)

// suite reads a file of cases that others wrote, from the folder that stands beside the repository. Where there is
// none, what the project's own table says must do.
func suite(t *testing.T, name string, into any) bool {
	t.Helper()
	file := filepath.Join("..", "..", "shared", "conformance", filepath.FromSlash(name))
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Logf("%s is not there", file)
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
	return true
}

// TestApicurioSuite holds the checker to the cases of Apicurio Registry: what is backward only must be refused forward.
func TestApicurioSuite(t *testing.T) {
	var s struct {
		Tests []struct {
			ID, Compatibility string
			Original, Updated json.RawMessage
		}
	}
	if !suite(t, "apicurio/compatibility-test-data.json", &s) {
		return
	}
	if len(s.Tests) < 145 {
		t.Fatalf("%d cases", len(s.Tests))
	}
	for i, c := range s.Tests {
		backward := c.Compatibility == "backward" || c.Compatibility == "both"
		verdict(t, i, c.ID, c.Original, c.Updated, spec.LevelBackward, backward)
		verdict(t, i, c.ID, c.Original, c.Updated, spec.LevelForward, c.Compatibility == "both")
	}
}

// TestNakadiSuite holds the checker to the cases of Nakadi's compatible mode, in which nothing may change that a reader
// of either side could notice.
func TestNakadiSuite(t *testing.T) {
	var cases []struct {
		Description string
		Original    json.RawMessage `json:"original_schema"`
		Update      json.RawMessage `json:"update_schema"`
		Errors      []string
	}
	if !suite(t, "nakadi/invalid-schema-evolution-examples.json", &cases) {
		return
	}
	if len(cases) < 44 {
		t.Fatalf("%d cases", len(cases))
	}
	// What Nakadi refuses and no reader can notice.
	harmless := map[string]string{
		"Do not allow changes to id":                                          "an id names the schema",
		"Capture changes to title":                                            "a title is for people",
		"Do not allow changes to description":                                 "a description is for people",
		"Do not allow changes to validation criteria in composed schema type": "anyOf and allOf of one schema mean the same",
	}
	for i, c := range cases {
		_, exempt := harmless[c.Description]
		verdict(t, i, c.Description, c.Original, c.Update, spec.LevelFull, len(c.Errors) == 0 || exempt)
		changes, err := spec.CompareSchemas(c.Original, c.Update, spec.PolicyStrict)
		if err != nil || (len(changes) > 0) != (len(c.Errors) > 0) {
			t.Errorf("%d %s: changes %v, %v, want as many as %v", i, c.Description, changes, err, c.Errors)
		}
	}
}

func verdict(t *testing.T, i int, name string, older, newer json.RawMessage, level spec.CompatLevel, want bool) {
	t.Helper()
	v, err := spec.CheckSchemas([][]byte{older}, newer, level, spec.PolicyStrict)
	if err != nil {
		t.Errorf("%d %s: %v", i, name, err)
	} else if v.Compatible != want {
		t.Errorf("%d %s: %s is %v, want %v: %v\nold %s\nnew %s", i, name, level, v.Compatible, want, v.Changes, older, newer)
	}
}
