// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parseDir parses a folder that has no fault.
func parseDir(t testing.TB, dir string) *Snapshot {
	t.Helper()
	files, err := ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// typeOf makes a type whose payload is the given YAML flow mapping; more goes into its message.
func typeOf(t testing.TB, payload string, more ...string) *Type {
	t.Helper()
	s, err := Parse(Files{"t.yaml": specOf(payload, more...)})
	if err != nil {
		t.Fatal(err)
	}
	found, _ := s.Type("tests.thing.made.v1")
	return found
}

func specOf(payload string, more ...string) []byte {
	return fmt.Appendf(nil, `asyncapi: 3.1.0
info: {title: tests.thing.made, version: 1.0.0}
channels:
  made:
    address: tests.thing.made.v1
    messages:
      made:
        payload: %s
        %s
`, payload, strings.Join(more, "\n        "))
}

func problemsOf(t testing.TB, err error) Problems {
	t.Helper()
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("got %v, want Problems", err)
	}
	return ps
}
