// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// report prints the list of suites, what was skipped, and the failures last but for one closing line with the counts.
// The error says why the run is not green.
func (r *runner) report(took time.Duration) error {
	var passed, failed, skipped int
	var faults []string
	r.say("\nSuites")
	for _, s := range sorted(r.suites) {
		note := ""
		if n := len(s.Skipped); n > 0 {
			note = fmt.Sprintf("  %d skipped", n)
		}
		r.say("  %-32s %4d tests%s", s.Name, s.Tests(), note)
		passed, failed, skipped = passed+s.Passed, failed+s.Failed, skipped+len(s.Skipped)
	}
	skipped += len(r.missing)
	r.skips()
	if r.CI && skipped > 0 {
		faults = append(faults, fmt.Sprintf("%d skipped, and under CI nothing may be", skipped))
	}
	lost, err := r.list()
	if err != nil {
		faults = append(faults, err.Error())
	}
	faults = append(faults, lost...)

	broken := r.failures()
	if failed+broken > 0 {
		faults = append(faults, fmt.Sprintf("%d tests failed, %d suites broke", failed, broken))
	}
	for _, f := range faults {
		r.say("not green: %s", f)
	}
	r.say("\n%d passed, %d failed, %d skipped (%s)", passed, failed+broken, skipped, took.Round(time.Second))
	if len(faults) > 0 {
		return fmt.Errorf("not green: %s", strings.Join(faults, "; "))
	}
	return nil
}

func (r *runner) skips() {
	var lines []string
	for _, m := range r.missing {
		lines = append(lines, fmt.Sprintf("%s: %s", m.Test, m.Why))
	}
	for _, s := range sorted(r.suites) {
		for _, t := range s.Skipped {
			lines = append(lines, fmt.Sprintf("%s %s: %s", s.Name, t.Test, t.Why))
		}
	}
	if len(lines) == 0 {
		return
	}
	r.say("\nSkipped on this machine")
	for _, l := range lines {
		r.say("  %s", l)
	}
}

// failures prints what the failed suites said and returns how many broke without a failed test to count.
func (r *runner) failures() (broken int) {
	head := "\nFailures"
	for _, s := range sorted(r.suites) {
		if s.OK() {
			continue
		}
		if s.Broken {
			broken++
		}
		r.say("%s\n--- %s\n%s", head, s.Name, strings.TrimRight(s.Output, "\n"))
		head = ""
	}
	return broken
}

// list compares the run with the committed list, or writes it.
func (r *runner) list() (lost []string, err error) {
	if r.Only != "" {
		return nil, nil
	}
	if r.Update {
		if len(r.missing) > 0 {
			return nil, fmt.Errorf("%s is not written: this machine cannot run every suite", listFile)
		}
		for _, s := range r.suites {
			if !s.OK() {
				return nil, fmt.Errorf("%s is not written: %s failed", listFile, s.Name)
			}
		}
		return nil, os.WriteFile(listFile, formatList(r.suites), 0o644)
	}
	text, err := os.ReadFile(listFile)
	if err != nil {
		return nil, err
	}
	list, err := parseList(text)
	if err != nil {
		return nil, err
	}
	for _, m := range r.missing {
		delete(list, m.Test)
	}
	lost, gained := compare(list, r.suites)
	if len(gained) > 0 {
		r.say("\nNew tests; run make suites-update and commit %s", listFile)
		for _, g := range gained {
			r.say("  %s", g)
		}
	}
	return lost, nil
}
