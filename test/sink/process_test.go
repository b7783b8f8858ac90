// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
)

// process is one started program, with what it says line by line.
type process struct {
	*exec.Cmd
	mu    sync.Mutex
	lines []string
	ended chan struct{}
}

func (s *stand) start(args ...string) *process {
	s.t.Helper()
	p := &process{Cmd: exec.Command(s.bin, args...), ended: make(chan struct{})}
	p.Dir = s.dir
	read, write, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	p.Stdout, p.Stderr = write, write
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = write.Close()
	go func() {
		defer close(p.ended)
		defer read.Close()
		for in := bufio.NewScanner(read); in.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, in.Text())
			p.mu.Unlock()
		}
		_ = p.Wait() // the tests judge by tables
	}()
	s.t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if s.t.Failed() {
			s.t.Logf("%v said:\n%s", args, strings.Join(p.lines, "\n"))
		}
	})
	return p
}

func (p *process) end(sig os.Signal) {
	_ = p.Process.Signal(sig)
	<-p.ended
}

// state is the last one that a sink of the process told of.
func (p *process) state(sink string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := ""
	for _, l := range p.lines {
		if _, s, ok := strings.Cut(l, "msg=sink sink="+sink+" state="); ok {
			state = s
		}
	}
	return state
}

// stands reports whether all of a process is stopped. One thread takes the signal, and until it is that one's turn the
// others may go on.
func (p *process) stands() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Process.Pid))
	for _, thread := range threads {
		if text, err := os.ReadFile(thread); err != nil || !bytes.Contains(text, []byte("\nState:\tT")) {
			return false
		}
	}
	return len(threads) > 0
}

// address is where a process said that it can be watched, which it does when it has made its plans.
func (p *process) address(t *testing.T) (addr string) {
	t.Helper()
	bustest.Eventually(t, "the process says where it can be watched", func(context.Context) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, l := range p.lines {
			if _, at, ok := strings.Cut(l, `msg="can be watched" listen=`); ok {
				addr = at
			}
		}
		return addr != ""
	})
	return addr
}

// get asks a process where it said that it can be watched.
func (p *process) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + p.address(t) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
