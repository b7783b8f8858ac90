// SPDX-License-Identifier: Apache-2.0

// Package flights_test runs the example as its README says, from the file to the three equal tables.
package flights_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/examples/internal/script"
	"github.com/autobus-io/autobus/internal/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The two brokers side by side: the scripts mostly wait for what they killed.
func TestOnTheEmbeddedBroker(t *testing.T) {
	t.Parallel()
	t.Run("Flights", func(t *testing.T) { tally(t) })
	t.Run("Workers", func(t *testing.T) { work(t) })
}

func TestOnKafka(t *testing.T) {
	t.Parallel()
	args := onKafka(t)
	t.Run("Flights", func(t *testing.T) { tally(t, args...) })
	t.Run("Workers", func(t *testing.T) { work(t, args...) })
}

// onKafka are the arguments for the cluster of the test run, which has topics of other suites by now.
func onKafka(t *testing.T) []string {
	return []string{"--kafka", strings.Join(bustest.Cluster(t).Brokers, ","), "--adopt"}
}

func tally(t *testing.T, args ...string) {
	t.Helper()
	text := run(t, "all three tables are equal\n", "./run.sh", args...)
	for _, part := range []string{
		"2000 rows in ", " 1946 departed, 54 cancelled; 2000 written ", // each flight is an event, of its type
		"(2000 of them were there already), 0 refused, 0 sent again", // the bus knows the ids of a second run
		"direct: read 4000 records, 2000 different events",           // after a restart it does not, and readers do
		"\nall           2000         54      24046\n",
	} {
		if !strings.Contains(text, part) && (len(args) == 0 || !strings.HasPrefix(part, "direct")) {
			t.Errorf("run.sh %s did not say %q:\n%s", strings.Join(args, " "), part, text)
		}
	}
}

func work(t *testing.T, args ...string) {
	t.Helper()
	text := run(t, "all tables are equal\n", "./consume.sh", args...)
	for _, part := range []string{" 0 kills; the table", " 10 kills; the table",
		"\nall           2000         54      24046\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("consume.sh %s did not say %q:\n%s", strings.Join(args, " "), part, text)
		}
	}
}

// run runs a script and looks for its verdict, which is its last word only when all went well.
func run(t *testing.T, verdict, name string, args ...string) string {
	t.Helper()
	text, err := script.Run(t, name, args...)
	if err != nil || !strings.HasSuffix(text, verdict) {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, text)
	}
	return text
}
