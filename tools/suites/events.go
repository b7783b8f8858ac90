// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Suite is the outcome of one package's tests, or of a check such as vet.
type Suite struct {
	Name    string
	Passed  int
	Failed  int
	Skipped []Skip
	Elapsed time.Duration
	Broken  bool   // it did not build, timed out or ended without a word
	Output  string // of what failed
}

// Skip is a test that did not run, and why.
type Skip struct{ Test, Why string }

// Tests is how many tests the suite has, subtests included.
func (s *Suite) Tests() int { return s.Passed + s.Failed + len(s.Skipped) }

// OK reports whether nothing of the suite failed.
func (s *Suite) OK() bool { return s.Failed == 0 && !s.Broken }

// event is a line of `go test -json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Elapsed    float64
	Output     string
	// FailedBuild is the ImportPath of the build that this package failed with.
	FailedBuild string
}

// maxOutput bounds what is kept of one test: a failure tells its story in the first lines and the last.
const maxOutput = 64 << 10

// readEvents turns the output of `go test -json` into suites and calls done when one ended. Lines that are no events,
// which the go command prints in trouble, are returned as rest.
func readEvents(r io.Reader, name func(pkg string) string, done func(*Suite)) (suites []*Suite, rest string) {
	p := parser{open: map[string]*pending{}, builds: map[string]string{}, name: name}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil || e.Action == "" {
			p.rest += in.Text() + "\n"
			continue
		}
		if s := p.take(e); s != nil {
			suites = append(suites, s)
			done(s)
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(p.open)) {
		s := p.open[pkg].suite
		s.Broken = true
		s.Output += "the run ended before this package did\n"
		suites = append(suites, s)
		done(s)
	}
	if err := in.Err(); err != nil {
		p.rest += err.Error() + "\n"
	}
	return suites, p.rest
}

type pending struct {
	suite  *Suite
	output map[string]*strings.Builder // per test; "" = the package itself
}

type parser struct {
	open   map[string]*pending
	builds map[string]string
	name   func(string) string
	rest   string
}

// take digests one event and returns the suite that it completes.
func (p *parser) take(e event) *Suite {
	if e.Action == "build-output" {
		p.builds[e.ImportPath] += e.Output
		return nil
	}
	if e.Package == "" {
		return nil
	}
	o := p.open[e.Package]
	if o == nil {
		o = &pending{suite: &Suite{Name: p.name(e.Package)}, output: map[string]*strings.Builder{}}
		p.open[e.Package] = o
	}
	switch e.Action {
	case "output":
		b := o.output[e.Test]
		if b == nil {
			b = &strings.Builder{}
			o.output[e.Test] = b
		}
		if b.Len() < maxOutput || e.Test == "" {
			b.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		if e.Test != "" {
			o.settle(e)
			return nil
		}
		delete(p.open, e.Package)
		return p.end(o, e)
	}
	return nil
}

func (o *pending) settle(e event) {
	text := ""
	if b := o.output[e.Test]; b != nil {
		text = b.String()
		delete(o.output, e.Test)
	}
	switch e.Action {
	case "pass":
		o.suite.Passed++
	case "skip":
		o.suite.Skipped = append(o.suite.Skipped, Skip{e.Test, reason(text)})
	case "fail":
		o.suite.Failed++
		o.suite.Output += text
	}
}

// end completes a suite. Tests that never ended (a panic, a timeout) have left their output behind.
func (p *parser) end(o *pending, e event) *Suite {
	s := o.suite
	s.Elapsed = time.Duration(e.Elapsed * float64(time.Second))
	if e.Action != "fail" {
		return s
	}
	own := ""
	for _, test := range slices.Sorted(maps.Keys(o.output)) {
		if test == "" {
			own = o.output[test].String()
			continue
		}
		s.Failed++
		s.Output += fmt.Sprintf("%s did not end:\n%s", test, o.output[test])
	}
	if s.Failed == 0 { // a failed TestMain, a leak, a build error
		s.Broken = true
	}
	if s.Broken || len(o.output) > 1 {
		s.Output += own
	}
	s.Output += p.builds[e.FailedBuild]
	return s
}

// reason finds what a test said when it skipped itself.
func reason(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if _, why, ok := strings.Cut(line, ".go:"); ok {
			_, why, _ = strings.Cut(why, ": ")
			return why
		}
		return line
	}
	return "no reason given"
}
