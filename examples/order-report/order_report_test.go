// SPDX-License-Identifier: Apache-2.0

// Package orderreport_test runs the example as its README says, the short form, and holds its verdict against it.
package orderreport_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/examples/internal/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What it measures is not looked at, except for what does not depend on the machine: who asks whom.
func TestDemo(t *testing.T) {
	text := run(t, "--short")
	for _, line := range []string{
		`20000 events in \d+ s`, // of the past: 2,000 flights a year, two changes of each order
		`POST an order( +\d+\.\d){4}`, `GET an order( +\d+\.\d){4}`, `POST its end( +\d+\.\d){4}`,
		`GET a report( +\d+\.\d){4}`,
		`  of it reports +[1-9]\d*\.\d % +0\.0 %`, // main is not asked for reports any more
		`== 9018 days of 16 merchants: main and report are identical`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(text) {
			t.Errorf("no line is like %q in:\n%s", line, text)
		}
	}
}

func TestSQLite(t *testing.T) {
	text := run(t, "--sqlite")
	for _, part := range []string{"4000 written, 0 refused, 0 unknown",
		"\n== 1503 days of 16 merchants: the file and the report are identical\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("it did not say %q:\n%s", part, text)
		}
	}
}

func run(t *testing.T, arg string) string {
	t.Helper()
	text, err := script.Run(t, "./run.sh", arg)
	if err != nil && strings.Contains(text, "needs PostgreSQL") && os.Getenv("CI") != "true" {
		t.Skip(text)
	}
	if err != nil {
		t.Fatalf("run.sh %s: %v\n%s", arg, err, text)
	}
	return text
}
