// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
)

// process is one started program, with what it says.
type process struct {
	*exec.Cmd
	said  bustest.Output
	ended chan struct{}
}

func (s *stand) start(args ...string) *process {
	s.t.Helper()
	p := &process{Cmd: exec.Command(s.bin, args...), ended: make(chan struct{})}
	p.Dir = s.dir
	p.Stdout, p.Stderr = &p.said, &p.said
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.Wait() // the tests judge by tables
	}()
	s.t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if s.t.Failed() {
			s.t.Logf("%v said:\n%s", args, &p.said)
		}
	})
	return p
}

func (p *process) end(sig os.Signal) {
	_ = p.Process.Signal(sig)
	<-p.ended
}

// lines are those that are whole.
func (p *process) lines() iter.Seq[string] {
	said := p.said.String()
	return strings.SplitSeq(said[:strings.LastIndexByte(said, '\n')+1], "\n")
}

// state is the last one that a sink of the process told of.
func (p *process) state(sink string) string {
	state := ""
	for l := range p.lines() {
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
		for l := range p.lines() {
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
