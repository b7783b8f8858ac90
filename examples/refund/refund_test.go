// SPDX-License-Identifier: Apache-2.0

// Package refund_test runs the example as its README says, the short form, and holds its tables against it.
package refund_test

import (
	"regexp"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/examples/internal/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The script itself fails where the tables differ; here is what has to be in them.
func TestDemo(t *testing.T) {
	text := run(t, "--short")
	for _, line := range []string{
		`== 101 refunds, five deaths`,
		`refund-tool is killed; \d+ refunds are at their end, \d+ events wait in outboxes`,
		`payment is killed; .*`,
		`fiscalization is killed; .*`,
		`bob-.. is killed; .*`,
		`0 +refunds\.refund\.requested\.v1 .* RU-3000000000 +3 .* CHECK constraint failed: id <= 2147483647 .*`,
		`.* redrive +refund-tool +done +1 +1 +0 .*`,
		`all +101 +93 +8 +101 +93 +8 +93 +93`,
		`refunds\.refund\.requested\.v1 +101 +101 +101`,
		`refunds\.refund\.created\.v1 +101 +101 +101`,
		`refunds\.refund\.rejected\.v1 +8 +8 +8`,
		`payments\.money\.refunded\.v1 +93 +93 +93`,
		`fiscal\.receipt\.issued\.v1 +93 +93 +93`,
		`683 deliveries were handled; [1-9]\d* of them came more than once, and nothing was done twice`,
		`== 101 refunds, 5 deaths: all tables agree, and so does the log`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(text) {
			t.Errorf("no line is like %q in:\n%s", line, text)
		}
	}
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	text, err := script.Run(t, "./run.sh", args...)
	if err != nil {
		t.Fatalf("run.sh: %v\n%s", err, text)
	}
	return text
}
