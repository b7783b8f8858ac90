// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Colours by their ANSI numbers; a command names what it means, not how it looks.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

// isTerminal reports whether a person watches this stream. The null device is a character device too, hence the
// second look.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

func (a *app) colored(w io.Writer) bool {
	switch a.color {
	case "always":
		return true
	case "never":
		return false
	}
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return isTerminal(w)
}

func (a *app) paint(w io.Writer, color, s string) string {
	if !a.colored(w) {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// note tells the person at the terminal something that is not data.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// table prints rows under a header: with lines on a terminal, in plain columns anywhere else.
func (a *app) table(header []string, rows [][]string) {
	t := table.NewWriter()
	t.SetOutputMirror(a.out)
	style := table.StyleLight
	if !isTerminal(a.out) {
		style = table.StyleDefault
		style.Options = table.OptionsNoBordersAndSeparators
		style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	}
	t.SetStyle(style)
	t.AppendHeader(cells(header))
	for _, r := range rows {
		t.AppendRow(cells(r))
	}
	// Padding to the width of a column nobody follows would be trailing blanks in a file.
	t.SuppressTrailingSpaces()
	t.Render()
}

func cells(values []string) table.Row {
	row := make(table.Row, len(values))
	for i, v := range values {
		row[i] = v
	}
	return row
}

// emit prints one document of the API as it came: indented under -o json, on one line under -o ndjson.
func (a *app) emit(doc []byte) error {
	var b bytes.Buffer
	var err error
	if a.output == "json" {
		err = json.Indent(&b, doc, "", "  ")
	} else {
		err = json.Compact(&b, doc)
	}
	if err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err = a.out.Write(b.Bytes())
	return err
}

// emitIndented prints a value as JSON over many lines, whatever the form of output.
func (a *app) emitIndented(v any) error {
	doc, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", doc)
	return err
}

// emitValue is emit for a value made here.
func (a *app) emitValue(v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.emit(doc)
}
