// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	harness     = "internal/bustest" // who imports it in tests gets the real cluster
	clients     = "test/clients"     // needs programs of other projects
	lintVersion = "v2.15.0"          // of golangci-lint
	lintModule  = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"
	plainLimit  = 10 * time.Minute // per package that needs no cluster
	sharedLimit = 30 * time.Minute // per package that uses the cluster
)

// runner makes one run.
type runner struct {
	Out    io.Writer
	CI     bool
	Update bool
	Only   string

	module  string
	only    *regexp.Regexp
	mu      sync.Mutex // of what follows, and of Out
	suites  []*Suite
	missing []Skip // what this machine could not run
}

// Run makes the run and reports it. The error says in one line why it is not green.
func (r *runner) Run(ctx context.Context) error {
	began := time.Now()
	var err error
	if r.only, err = regexp.Compile(r.Only); err != nil {
		return err
	}
	if r.Update && r.Only != "" {
		return errors.New("-update needs a whole run, leave -only away")
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
	if err != nil {
		return fmt.Errorf("go list -m (run it in the repository): %w", err)
	}
	r.module = strings.TrimSpace(string(module))
	plain, shared, err := r.packages(ctx)
	if err != nil {
		return err
	}

	// The cluster takes its time to start and little of the processor: it does so beside the checks.
	var c *cluster
	var clusterErr error
	var starting sync.WaitGroup
	if len(shared) > 0 {
		starting.Go(func() { c, clusterErr = r.cluster(ctx) })
	}
	var env []string
	var bringing sync.WaitGroup
	if slices.Contains(plain, r.module+"/"+clients) {
		bringing.Go(func() { env = r.clients(ctx) })
	}
	r.checks(ctx)
	bringing.Wait()
	r.test(ctx, env, plainLimit, nil, plain)
	var beside sync.WaitGroup // what needs no cluster, or leaves it as it is
	beside.Go(func() { r.python(ctx) })
	starting.Wait()
	if c != nil {
		defer c.stop()
	}
	if clusterErr == nil {
		gentle, pushing, alone := r.apart(shared)
		one, two := []string{"-p=1", "-count=1"}, []string{"-p=2", "-count=1"}
		beside.Go(func() { r.test(ctx, c.env(), sharedLimit, two, gentle) })
		r.test(ctx, c.env(), sharedLimit, one, pushing)
		beside.Wait()
		r.test(ctx, c.env(), sharedLimit, one, alone)
	}
	beside.Wait()
	if ctx.Err() != nil {
		r.failures() // what is known by then: an interrupted run is often one that hung
		return errors.New("interrupted")
	}
	return errors.Join(clusterErr, r.report(time.Since(began)))
}

// packages lists the packages with tests that were asked for: those that run side by side, and those that share the
// cluster.
func (r *runner) packages(ctx context.Context) (plain, shared []string, err error) {
	const fields = "ImportPath,TestGoFiles,XTestGoFiles,TestImports,XTestImports"
	out, err := command(ctx, nil, "go", "list", "-json="+fields, "./...")
	if err != nil {
		return nil, nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath                string
			TestGoFiles, XTestGoFiles []string
			TestImports, XTestImports []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return plain, shared, nil
		} else if err != nil {
			return nil, nil, err
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 || !r.only.MatchString(r.name(p.ImportPath)) {
			continue
		}
		uses := r.module + "/" + harness
		if p.ImportPath == uses || slices.Contains(slices.Concat(p.TestImports, p.XTestImports), uses) {
			shared = append(shared, p.ImportPath)
		} else {
			plain = append(plain, p.ImportPath)
		}
	}
}

// apart parts the packages that share the cluster. Those that leave it as it is mostly wait: two of them run at a time,
// beside those that bring specs into force, of which a cluster has one set. test/hostile is among them: what it attacks
// has a broker of its own. Those that kill brokers of the cluster, or load it, have it to themselves.
func (r *runner) apart(shared []string) (gentle, pushing, alone []string) {
	for _, pkg := range shared {
		switch name := r.name(pkg); {
		case name == ".", strings.HasPrefix(name, "examples/"), name == "test/conformance":
			pushing = append(pushing, pkg)
		case name != "test/hostile" && strings.HasPrefix(name, "test/"), name == harness, name == "internal/kafka":
			alone = append(alone, pkg)
		default:
			gentle = append(gentle, pkg)
		}
	}
	return gentle, pushing, alone
}

// name is the name of a package's suite: its folder, "." for the root.
func (r *runner) name(pkg string) string {
	if pkg == r.module {
		return "."
	}
	return strings.TrimPrefix(pkg, r.module+"/")
}

func (r *runner) cluster(ctx context.Context) (*cluster, error) {
	began := time.Now()
	c, missing, err := startCluster(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("start the Kafka cluster: %w", err)
	case missing != "":
		r.skip("real Kafka", missing)
		return nil, nil
	}
	r.say("up    Kafka cluster %s (%.1fs)", c.Bootstrap, time.Since(began).Seconds())
	return c, nil
}

// checks are the suites that are no Go tests.
func (r *runner) checks(ctx context.Context) {
	r.check(ctx, "vet", func() ([]byte, error) { return command(ctx, nil, "go", "vet", "./...") })
	bin, err := r.linter(ctx)
	if err != nil {
		r.skip("lint", err.Error())
		return
	}
	r.check(ctx, "lint", func() ([]byte, error) { return command(ctx, nil, bin, "run", "./...") })
}

// linter finds golangci-lint in .bin, or puts it there. Its version is in the path: a new one never finds the old.
func (r *runner) linter(ctx context.Context) (string, error) {
	dir, err := filepath.Abs(filepath.Join(".bin", "golangci-lint-"+lintVersion))
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "golangci-lint")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	_, err = command(ctx, []string{"GOBIN=" + dir}, "go", "install", lintModule+"@"+lintVersion)
	if err != nil {
		return "", fmt.Errorf("golangci-lint cannot be installed: %w", err)
	}
	return bin, nil
}

func (r *runner) check(ctx context.Context, name string, run func() ([]byte, error)) {
	if !r.only.MatchString(name) || ctx.Err() != nil {
		return
	}
	began := time.Now()
	s := &Suite{Name: name, Passed: 1}
	if out, err := run(); err != nil {
		s.Passed, s.Failed = 0, 1
		s.Output = fmt.Sprintf("%s%v\n", out, err)
	}
	s.Elapsed = time.Since(began)
	r.add(s)
}

// test runs the tests of packages with more environment and flags.
func (r *runner) test(ctx context.Context, env []string, limit time.Duration, flags, pkgs []string) {
	if len(pkgs) == 0 || ctx.Err() != nil {
		return
	}
	args := slices.Concat([]string{"test", "-race", "-json", fmt.Sprintf("-timeout=%s", limit)}, flags, pkgs)
	cmd := tests(ctx, env, "go", args...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = os.Stderr
		err = cmd.Start()
	}
	if err != nil {
		r.add(&Suite{Name: "go test", Broken: true, Output: err.Error() + "\n"})
		return
	}
	suites, rest := readEvents(out, r.name, r.add)
	err = cmd.Wait()
	bad := slices.ContainsFunc(suites, func(s *Suite) bool { return !s.OK() })
	if rest != "" || err != nil && !bad || len(suites) < len(pkgs) {
		r.add(&Suite{Name: "go test", Broken: true,
			Output: fmt.Sprintf("%s%d of %d packages reported; go test: %v\n", rest, len(suites), len(pkgs), err)})
	}
}

// tests is a program that runs tests, with more environment. It has a process group of its own, so that an interrupt
// reaches what the tests started.
func tests(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

func (r *runner) skip(what, why string) {
	if r.only.MatchString(what) || what == "real Kafka" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.missing = append(r.missing, Skip{what, why})
	}
}

func (r *runner) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.Out, format+"\n", args...)
}

func (r *runner) add(s *Suite) {
	word := "ok"
	if !s.OK() {
		word = "FAIL"
	}
	r.say("%-5s %-32s %4d tests  %6.1fs", word, s.Name, s.Tests(), s.Elapsed.Seconds())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suites = append(r.suites, s)
}

// command runs a program and returns what it printed; the error has it too when it failed.
func command(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), args[0], err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
