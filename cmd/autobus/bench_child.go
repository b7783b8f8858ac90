// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a gateway that the bench started.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of its end; read it after exited is closed

	mu   sync.Mutex
	last []string // lines of its log
}

// lastLines is how much of a gateway's log is told when it ends by itself.
const lastLines = 20

// start runs this very program as a gateway, and returns the line by which it says that it is ready: on stdout, or on
// stderr.
func (s *benchSite) start(ctx context.Context, stdout bool, ready func(string) bool, args ...string) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	c := &child{cmd: exec.Command(program, args...), exited: make(chan struct{})} //nolint:noctx // stop ends it in order
	// A Ctrl-C is for the bench, which ends its gateway when it is done with it.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Env = without(os.Environ(), "AUTOBUS_")
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	logs, err := c.cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := c.cmd.Start(); err != nil {
		return "", err
	}
	s.child = c
	s.target.Gateway = []int{c.cmd.Process.Pid}
	found := make(chan string, 1)
	watch := func(from io.Reader, here bool) {
		in := bufio.NewScanner(from)
		for in.Scan() {
			c.keep(in.Text())
			if here && ready(in.Text()) {
				select {
				case found <- in.Text():
				default:
				}
			}
		}
	}
	var reading sync.WaitGroup
	reading.Go(func() { watch(out, stdout) })
	reading.Go(func() { watch(logs, !stdout) })
	go func() {
		reading.Wait()
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	select {
	case line := <-found:
		return line, nil
	case <-c.exited:
		return "", fmt.Errorf("the gateway ended: %w\n%s", c.err, c.told())
	case <-ctx.Done():
		return "", fmt.Errorf("the gateway is not ready: %w\n%s", ctx.Err(), c.told())
	}
}

func (c *child) keep(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = append(c.last, line)
	c.last = c.last[max(0, len(c.last)-lastLines):]
}

func (c *child) told() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.last, "\n")
}

// watch gives a context that ends with the gateway, if it is ours: without it nothing can be measured, and a Kafka
// client waits for the broker in its process for ever.
func (s *benchSite) watch(ctx context.Context) (watched context.Context, unwatch context.CancelFunc) {
	watched, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if s.child == nil {
			return
		}
		select {
		case <-s.child.exited:
			cancel(s.child.ended())
		case <-watched.Done():
		}
	}()
	return watched, func() {
		cancel(nil)
		<-over
	}
}

// ended is the error of a gateway that ended by itself.
func (c *child) ended() error {
	return fmt.Errorf("the gateway ended meanwhile: %w\n%s", c.err, c.told())
}

// childTime is how long a gateway may take to end.
const childTime = 40 * time.Second

// stop ends the gateway. One that ended by itself, or does not end in order, is an error.
func (c *child) stop() error {
	select {
	case <-c.exited:
		return c.ended()
	default:
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may end at this moment
	late := time.NewTimer(childTime)
	defer late.Stop()
	select {
	case <-c.exited:
	case <-late.C:
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	if c.err != nil {
		return fmt.Errorf("the gateway ended: %w\n%s", c.err, c.told())
	}
	return nil
}

// without leaves out the variables whose names begin with prefix.
func without(env []string, prefix string) (out []string) {
	for _, v := range env {
		if !strings.HasPrefix(v, prefix) {
			out = append(out, v)
		}
	}
	return out
}
