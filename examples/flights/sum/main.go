// SPDX-License-Identifier: Apache-2.0

// Command sum prints the table of what the workers wrote into their files, each flight counted once. A worker that was
// killed in the middle of a line left a part of it: that flight was not acked, so it stands in another file.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/autobus-io/autobus/examples/flights/table"
)

func main() {
	var t table.Table
	lines, torn := 0, 0
	for _, name := range os.Args[1:] {
		n, parts, err := add(&t, name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "sum:", err)
			os.Exit(1)
		}
		lines, torn = lines+n, torn+parts
	}
	fmt.Fprintf(os.Stderr, "sum: %d lines, %d different flights, %d torn lines\n", lines, t.Events(), torn)
	if err := t.Write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sum:", err)
		os.Exit(1)
	}
}

// add counts the lines of a file.
func add(t *table.Table, name string) (lines, torn int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		lines++
		var l table.Line
		if json.Unmarshal(in.Bytes(), &l) != nil {
			torn++
			continue
		}
		if err := t.Add(l.Type, l.ID, l.Flight); err != nil {
			return lines, torn, err
		}
	}
	return lines, torn, in.Err()
}
