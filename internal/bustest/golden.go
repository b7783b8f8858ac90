// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// update is read after flag.Parse only; every package that imports this one has the flag.
var update = flag.Bool("update", false, "write golden files and generated documents instead of comparing them")

// Updating reports whether the tests run with -update.
func Updating() bool { return *update }

// Golden compares got with a file, by default below testdata, or writes the file when the tests run with -update.
func Golden(t testing.TB, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run the test with -update to write it)", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	line, g, w := firstDifference(got, want)
	t.Errorf("%s:%d differs (run the test with -update if that is meant)\n got: %s\nwant: %s", path, line, g, w)
}

func firstDifference(got, want []byte) (line int, g, w []byte) {
	for line = 1; ; line++ {
		var moreG, moreW bool
		g, got, moreG = bytes.Cut(got, []byte("\n"))
		w, want, moreW = bytes.Cut(want, []byte("\n"))
		if !bytes.Equal(g, w) || !moreG || !moreW {
			return line, g, w
		}
	}
}
