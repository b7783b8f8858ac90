// SPDX-License-Identifier: Apache-2.0

// Package quotes_test runs the example as its README says, the short form, and holds its verdict against it.
package quotes_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/examples/internal/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The story judges itself; here it must have told all of it. What it measures is not looked at.
func TestStory(t *testing.T) {
	text := run(t)
	for line, times := range map[string]int{
		`pricing: 14 tests passed; offers: 33, by a and b and c`:                                      3,
		`78 answers are the same as by HTTP: status, headers, body`:                                   2,
		`an upgrade, 1 MB, a host that is nobody's: 501 http_unsupported, 413 .*, 403 forbidden`:      1,
		`(pricing|offers): 3 lines more`:                                                              2,
		`(direct HTTP|bridge|adapter|adapter, no bridge) +\d+\.\d\d +\d+\.\d\d`:                       4,
		`20 bookings taken by 202 while the server was down, .*`:                                      1,
		`back: 20 bookings made, each handled once`:                                                   1,
		`after \d s: got 2, missing \[c\], duplicates 1`:                                              1,
		`504 reply_timeout after .*`:                                                                  1,
		`200 {"amount":707} from there, once the work was over`:                                       1,
		`3 servers replaced and one killed at \d+ calls a second: \d+ calls, 0 failed, 0 crossed; .*`: 1,
		`the bus is killed: /readyz 503 after .* s, /livez 200`:                                       1,
		`the bus is back: /readyz 200, and the same process works on`:                                 1,
		`6 tests passed: hooks, spec, no booking twice; a booking in \d+ ms`:                          1,
		`\d+ sources and logs of services, clients and bridges: nothing of what is behind the bus`:    1,
	} {
		if found := regexp.MustCompile(`(?m)^`+line+`$`).FindAllString(text, -1); len(found) != times {
			t.Errorf("%d lines, want %d, are like %q in:\n%s", len(found), times, line, text)
		}
	}
	if !strings.HasSuffix(text, "\n== all suites were green three times, and nothing was lost\n") {
		t.Errorf("its last word is another one:\n%s", text)
	}
}

func run(t *testing.T) string {
	t.Helper()
	text, err := script.Run(t, "./run.sh", "--short")
	if err != nil && strings.Contains(text, "run.sh: needs Python") && os.Getenv("CI") != "true" {
		t.Skip(text)
	}
	if err != nil {
		t.Fatalf("run.sh --short: %v\n%s", err, text)
	}
	return text
}
