// SPDX-License-Identifier: Apache-2.0

// Package chaos kills what may die: the bus itself, in the middle of writing and of handing out events, workers, and
// brokers below. Each test drives the real binary over HTTP with many connections, records every attempt, delivery and
// outcome, and then reads the whole log with a Kafka client; the history checker of internal/bustest judges. A run in
// which the fault did not hit counts for nothing.
package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/internal/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// build compiles the program.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "autobus")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/autobus").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// writeSpecs puts the specs of the types into a folder.
func writeSpecs(t *testing.T, types bustest.Types) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range types.Specs() {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// program is a running autobus.
type program struct {
	cmd    *exec.Cmd
	stderr *bustest.Output
	ended  chan struct{} // closed when the process is gone
	err    error         // of Wait
}

// run starts the program and hands each line of its standard output to line. It is killed with the test at the latest.
func run(t *testing.T, line func(string), bin string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(bin, args...), stderr: &bustest.Output{}, ended: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	p.cmd.Dir = t.TempDir()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for in := bufio.NewScanner(stdout); in.Scan(); {
			line(in.Text())
		}
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process by SIGKILL and returns when it is gone.
func (p *program) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // fails when it is gone already
	<-p.ended
}

// term tells the process by SIGTERM to end; end waits for it.
func (p *program) term(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("autobus was to be stopped: %v\n%s", err, p.stderr)
	}
}

// end returns when a process that was told to end is gone, which has to be an orderly end.
func (p *program) end(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(bustest.Patience):
		t.Fatalf("autobus did not end in %s\n%s", bustest.Patience, p.stderr)
	}
	if p.err != nil {
		t.Errorf("autobus was stopped and ended with %v\n%s", p.err, p.stderr)
	}
}

// killed reports whether SIGKILL is what the process died of.
func (p *program) killed() bool {
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// banner is what dev says once it works.
type banner struct {
	API   string `json:"api"`
	Kafka string `json:"kafka"`
}

// dev starts `autobus dev` on a data folder and returns when it works.
func dev(t *testing.T, bin, data, specs, port string) (*program, banner) {
	t.Helper()
	lines := make(chan string, 1)
	p := run(t, func(l string) { lines <- l }, bin, "dev", "--data", data, "--specs", specs, "--port", port,
		"--kafka-port", "0", "--no-demo", "-o", "ndjson")
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	select {
	case l := <-lines:
		var b banner
		if err := json.Unmarshal([]byte(l), &b); err != nil || b.API == "" || b.Kafka == "" {
			t.Fatalf("the banner is %q: %v", l, err)
		}
		return p, b
	case <-p.ended:
		t.Fatalf("autobus dev ended: %v\n%s", p.err, p.stderr)
	case <-ctx.Done():
		t.Fatalf("autobus dev is not ready after %s\n%s", bustest.Patience, p.stderr)
	}
	panic("unreachable")
}

// prepare makes the cluster ready for the bus. It returns a configuration and a token for everything.
func prepare(t *testing.T, bin string, k *bustest.Kafka) (config, token string) {
	t.Helper()
	config = filepath.Join(t.TempDir(), "autobus.yaml")
	text := fmt.Sprintf("listen: 127.0.0.1:0\nkafka: {brokers: ['%s']}\nlog: {level: info, format: json}\n",
		strings.Join(k.Brokers, "','"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, bin, "cluster", "init", "--yes", "--adopt", "--config", config)
	token = command(t, bin, "token", "create", "--config", config, "--principal", "faults", "--grant", "publish:*",
		"--grant", "subscribe:*", "--grant", "manage:*", "--grant", "redrive:*", "--grant", "request:*", "-q")
	return config, token
}

// serve starts `autobus serve` as an instance of that name, by a command that leads to it if there is one, and returns
// the API's address once it takes events.
func serve(t *testing.T, by []string, bin, config, instance string) (p *program, url string) {
	t.Helper()
	args := slices.Concat(by, []string{bin, "serve", "--config", config, "--instance", instance})
	p = run(t, func(string) {}, args[0], args[1:]...)
	bustest.Eventually(t, "autobus serve to be ready", func(context.Context) bool {
		select {
		case <-p.ended:
			t.Fatalf("autobus serve ended: %v\n%s", p.err, p.stderr)
		default:
		}
		m := listening.FindStringSubmatch(p.stderr.String())
		if m == nil {
			return false
		}
		url = "http://" + m[1]
		return true
	})
	return p, url
}

// listening finds the address in the line that serve logs once it takes events.
var listening = regexp.MustCompile(`"msg":"ready".*"listen":"([^"]+)"`)

// command runs the program to its end and returns its standard output, trimmed.
func command(t *testing.T, bin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("autobus %s: %v\n%s", strings.Join(args[:2], " "), err, &stderr)
	}
	return strings.TrimSpace(stdout.String())
}
