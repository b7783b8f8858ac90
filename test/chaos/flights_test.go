// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// died is what the example says when both are dead and neither the feed nor the work is over.
var died = regexp.MustCompile(`broker \d and gateway a are dead, the feed waits, (\d+) flights are not done`)

// flights runs the flights example before the rig's cluster, with its own kills. It looks by itself that they hit.
func flights(apart *rig) func(*testing.T, scale, *row) {
	return func(t *testing.T, _ scale, r *row) {
		k := apart.cluster(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "../../examples/flights/fault.sh", "--cluster", apart.dir, "--adopt")
		// On time-out the script and all that it started get the chance to clean up.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		out := &strings.Builder{}
		cmd.Stdout, cmd.Stderr = out, out
		err := cmd.Run()
		m := died.FindStringSubmatch(out.String())
		if err != nil || m == nil || !strings.HasSuffix(out.String(), "all four tables are equal\n") {
			t.Fatalf("fault.sh: %v\n%s", err, out)
		}
		if !k.BrokerRuns(t, 1) {
			t.Error("the broker was not started again")
		}
		r.rate, r.result = "-", "all four tables are equal; "+m[1]+" of 2000 flights were not done at the kills"
	}
}
