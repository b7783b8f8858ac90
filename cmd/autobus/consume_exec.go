// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/autobus-io/autobus"
)

// What the exit statuses of a command mean beside 0.
const (
	exitReject     = 65  // EX_DATAERR of sysexits.h: the event is bad and will stay so
	exitNotRunning = 126 // a shell's words for a command that it cannot run
	exitNotFound   = 127
)

// commandGrace is how long a command has after a SIGTERM.
const commandGrace = 5 * time.Second

// commandEnd tells of a command that ran, or could not be started.
type commandEnd struct {
	job   *job
	state *os.ProcessState
	err   error
}

// begin starts commands for the events that wait, as far as there is room.
func (c *consumer) begin(ctx context.Context) {
	for len(c.queue) > 0 && (c.working < c.flags.window || c.err != nil) {
		j := c.queue[0]
		c.queue = c.queue[1:]
		if j.gone {
			continue
		}
		if c.err != nil {
			delete(c.jobs, j.Lease)
			continue
		}
		var running context.Context
		running, j.cancel = context.WithCancel(ctx)
		j.state = jobRuns
		c.working++
		cmd := c.command(running, j)
		go func() {
			err := cmd.Run()
			c.ended <- &commandEnd{j, cmd.ProcessState, err}
		}()
	}
}

func (c *consumer) command(ctx context.Context, j *job) *exec.Cmd {
	cmd := shell(ctx, c.flags.exec, c.environment(j))
	cmd.Stdin = bytes.NewReader(j.data)
	cmd.Stdout, cmd.Stderr = c.app.out, c.app.err
	return cmd
}

// shell is a command of --exec, with more environment. It has a process group of its own: the terminal's Ctrl-C is for
// the bus's command, which lets it finish.
func shell(ctx context.Context, line string, env []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	return cmd
}

func (c *consumer) environment(j *job) []string {
	e := &j.body
	out := []string{"AUTOBUS_SERVER=" + c.reader.api.base.String()}
	for _, v := range [][2]string{
		{"ID", e.ID}, {"TYPE", e.Type}, {"SOURCE", e.Source}, {"SUBJECT", e.Subject}, {"CONTENT_TYPE", e.ContentType},
		{"TIME", e.Time.Format(time.RFC3339Nano)}, {"PARTITION", fmt.Sprint(j.Partition)}, {"OFFSET", fmt.Sprint(j.Offset)},
		{"ATTEMPT", fmt.Sprint(j.Attempt)}, {"FENCE", fmt.Sprint(j.Fence)}, {"SUBSCRIPTION", c.flags.group},
	} {
		out = append(out, "AUTOBUS_"+v[0]+"="+withoutNUL(v[1]))
	}
	switch {
	case j.Key != nil && !strings.Contains(*j.Key, "\x00"):
		return append(out, "AUTOBUS_KEY="+*j.Key)
	case j.Key != nil:
		return append(out, "AUTOBUS_KEY_BASE64="+base64.StdEncoding.EncodeToString([]byte(*j.Key)))
	case j.KeyBase64 != "":
		return append(out, "AUTOBUS_KEY_BASE64="+j.KeyBase64)
	}
	return out
}

// withoutNUL cuts out what no environment can hold.
func withoutNUL(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// commandEnded turns a command's exit status into an outcome.
func (c *consumer) commandEnded(e *commandEnd) {
	j := e.job
	j.cancel()
	c.working--
	if j.gone {
		delete(c.jobs, j.Lease)
		return
	}
	if e.state == nil {
		c.cannotRun(j, e.err.Error())
		return
	}
	switch code := e.state.ExitCode(); code {
	case 0:
		c.settle(j, autobus.Ack, "")
	case exitReject:
		c.app.note("%s, attempt %d: %s: rejected", j, j.Attempt, e.state)
		c.settle(j, autobus.Reject, e.state.String())
	case exitNotRunning, exitNotFound:
		c.cannotRun(j, e.state.String())
	default:
		c.app.note("%s, attempt %d: %s: to come again", j, j.Attempt, e.state)
		c.settle(j, autobus.Retry, e.state.String())
	}
}

// cannotRun ends the work, since no event is to blame: going on would use up the attempts of one after the other.
func (c *consumer) cannotRun(j *job, why string) {
	c.settle(j, autobus.Retry, why)
	c.fail(&exitError{code: exitFailed, err: autobus.NewError(autobus.ReasonRequestInvalid, "--exec cannot be run: %s",
		why).WithHint("Check the command, which a shell gets as it is: %s", c.flags.exec)})
}
