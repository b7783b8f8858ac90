// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// listFile is the committed list of suites.
const listFile = "test/suites.txt"

const listHead = `# Every suite and how many tests it has, subtests included. A run with fewer fails.
# Written by make suites-update.
`

// parseList reads the committed list: lines of a suite's name and its number of tests.
func parseList(text []byte) (map[string]int, error) {
	list := map[string]int{}
	in := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 2 {
			return nil, fmt.Errorf("%s:%d: want a suite and a number", listFile, n)
		}
		tests, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", listFile, n, err)
		}
		list[fields[0]] = tests
	}
	return list, in.Err()
}

// formatList writes the list of a run. Suites without tests are left out: there is nothing to lose in them.
func formatList(suites []*Suite) []byte {
	var b bytes.Buffer
	b.WriteString(listHead)
	for _, s := range sorted(suites) {
		if s.Tests() > 0 {
			fmt.Fprintf(&b, "%-32s %d\n", s.Name, s.Tests())
		}
	}
	return b.Bytes()
}

// compare holds a run against the list. lost fails the run; gained only asks for an update of the list. A suite with
// skips may hide tests that it would otherwise have: it is not held against its number, the skip itself is reported.
func compare(list map[string]int, suites []*Suite) (lost, gained []string) {
	ran := map[string]*Suite{}
	for _, s := range suites {
		ran[s.Name] = s
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		s, want := ran[name], list[name]
		switch {
		case s == nil:
			lost = append(lost, fmt.Sprintf("%s is in the list but did not run", name))
		case s.Tests() < want && len(s.Skipped) == 0:
			lost = append(lost, fmt.Sprintf("%s has %d tests, the list says %d", name, s.Tests(), want))
		}
	}
	for _, s := range sorted(suites) {
		if want, listed := list[s.Name]; s.Tests() > want {
			was := "is not in the list"
			if listed {
				was = fmt.Sprintf("had %d", want)
			}
			gained = append(gained, fmt.Sprintf("%s has %d tests, it %s", s.Name, s.Tests(), was))
		}
	}
	return lost, gained
}

func sorted(suites []*Suite) []*Suite {
	return slices.SortedFunc(slices.Values(suites), func(a, b *Suite) int { return strings.Compare(a.Name, b.Name) })
}
