// SPDX-License-Identifier: Apache-2.0

// Package flights_test runs the example as its README says, from the file to the three equal tables.
package flights_test

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/internal/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlightsOnTheEmbeddedBroker(t *testing.T) { run(t) }

func TestFlightsOnKafka(t *testing.T) {
	// The cluster of a test run has topics of other suites by now.
	run(t, "--kafka", strings.Join(bustest.Cluster(t).Brokers, ","), "--adopt")
}

// run runs the example and looks for its verdict, which is the script's last word only when all went well.
func run(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./run.sh", args...)
	// On time-out the script and all that it started get the chance to clean up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	text := string(out)
	if err != nil || !strings.HasSuffix(text, "all three tables are equal\n") {
		t.Fatalf("run.sh %s: %v\n%s", strings.Join(args, " "), err, text)
	}
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
