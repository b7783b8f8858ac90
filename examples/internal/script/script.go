// SPDX-License-Identifier: Apache-2.0

// Package script runs the scripts of the examples in their tests.
package script

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Run runs a script of the package's folder to its end, at most nine minutes, for tests have ten. It gives all that it
// said, and how it ended.
func Run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// On time-out the script and all that it started get the chance to clean up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}
