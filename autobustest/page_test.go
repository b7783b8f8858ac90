// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestThePageShowsWhatRuns holds the how-to to code that is compiled and run: each of its Go blocks stands word for
// word in a test of this package.
func TestThePageShowsWhatRuns(t *testing.T) {
	page, err := os.ReadFile("../docs/howto/test-a-service.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range []string{"service_test.go", "options_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 5 {
		t.Fatalf("the page has %d Go blocks, want at least 5", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(code.String(), b[1]) {
			t.Errorf("no test has this:\n%s", b[1])
		}
	}
	for _, m := range regexp.MustCompile("`(?:bus|autobustest)\\.([A-Z]\\w*)").FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(exported(t), "\nfunc "+m[1]+"(") && !strings.Contains(exported(t), "\nfunc (b *Bus) "+m[1]+"(") {
			t.Errorf("the page names %s, which does not exist", m[1])
		}
	}
}

// exported is the code of the package.
func exported(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(text)
		}
	}
	return code.String()
}
