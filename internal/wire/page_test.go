// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThePageShowsTheGoldenFiles holds the examples of docs/reference/frames.md against the golden files.
func TestThePageShowsTheGoldenFiles(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/frames.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		_, block, ok := strings.Cut(string(page), "\n```"+name+"\n")
		block, _, ends := strings.Cut(block, "\n```")
		want, err := os.ReadFile(file)
		if !ok || !ends || err != nil {
			t.Errorf("the page has no example of %s (%v)", name, err)
			continue
		}
		if got := hex.Dump(example(t, block)); got != string(want) {
			t.Errorf("the example of %s is\n%swant\n%s", name, got, want)
		}
	}
}

// example reads hexadecimal bytes, text in single quotes, and notes behind #.
func example(t *testing.T, block string) (frame []byte) {
	t.Helper()
	for line := range strings.Lines(block) {
		for i, part := range strings.Split(line, "'") {
			if i%2 == 1 {
				frame = append(frame, part...)
				continue
			}
			digits, _, note := strings.Cut(part, "#")
			b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
			if err != nil {
				t.Fatalf("%q: %v", part, err)
			}
			if frame = append(frame, b...); note {
				break
			}
		}
	}
	return frame
}
