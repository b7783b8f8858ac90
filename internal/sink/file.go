// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/autobus-io/autobus/spec"
)

// Modes of a sink and of its types.
const (
	ModeAppend = "append" // a row for every event
	ModeUpsert = "upsert" // a row for every key, of its newest event
	ModeDelete = "delete" // of a type: its events delete the row of their key
)

// BuildSuffix ends the names of tables that are being rebuilt, beside the live ones.
const BuildSuffix = "__new"

// Where a new sink begins to read.
const (
	StartEarliest = "earliest"
	StartLatest   = "latest"
)

// Defaults of a sink's file.
const (
	DefaultRows  = 5000
	DefaultBytes = 5 << 20
	DefaultLease = 5 * time.Second
)

// File is what a YAML file says of one sink.
type File struct {
	Path     string // of the file
	Name     string // of the sink; its positions are kept under it
	DSN      string // postgres://... or sqlite:PATH, variables put in
	Table    string // table or schema.table
	Mode     string // ModeAppend or ModeUpsert
	Key      []string
	Version  string // JSON pointer to what grows with every change of a key; "" = time, epoch and offset
	Start    string // StartEarliest or StartLatest
	Columns  []Column
	Children []Child
	Types    []TypeEntry
	Rows     int           // at most so many events in a transaction
	Bytes    int           // and about so many bytes
	Lease    time.Duration // how long a process that says nothing keeps others from the sink
}

// Column says where the value of a column comes from. Exactly one of From, Meta and HasValue is set.
type Column struct {
	Name     string
	From     string // JSON pointer into the data; in a child into an item
	Meta     string // attribute of the event or place of the record, see Metas
	Value    string // a constant
	HasValue bool
	Type     string // "" = what the spec says
	Unit     string // of a number that becomes a timestamptz: s or ms
	Off      bool   // a type leaves away a column of the sink
	Line     int
}

// Child is a table with a row for each item of an array.
type Child struct {
	Table   string
	From    string // JSON pointer to the array
	Columns []Column
	Off     bool
	Line    int
}

// TypeEntry is one event type of a sink.
type TypeEntry struct {
	Type     string
	Mode     string // "" = the sink's; or ModeDelete
	Version  string // "" = the sink's
	Columns  []Column
	Children []Child
	Line     int
}

// ReadFile reads a sink's file. The error is spec.Problems where the content is wrong.
func ReadFile(path string) (*File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, spec.Problems{problem(path, 0, "Check the file's name.", "the file cannot be read: %v", err)}
	}
	return ParseFile(path, raw, os.LookupEnv)
}

// ParseFile reads the content of a sink's file; lookup gives the variables that the DSN names.
func ParseFile(path string, raw []byte, lookup func(string) (string, bool)) (*File, error) {
	r := &reader{file: path}
	f := &File{Path: path, Mode: ModeAppend, Start: StartEarliest, Rows: DefaultRows, Bytes: DefaultBytes,
		Lease: DefaultLease}
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, spec.Problems{problem(path, 0, "This is not YAML; mind the indentation.", "%s",
			strings.TrimPrefix(err.Error(), "yaml: "))}
	} else if err != nil {
		return nil, spec.Problems{problem(path, 0, "See docs/reference/sinks.md.", "the file is empty")}
	}
	if d.Decode(&more) == nil {
		r.fault(&more, "Write one sink a file.", "a second document")
	}
	dsnFile := ""
	r.keys(doc.Content[0], "a sink", map[string]func(*yaml.Node){
		"name": r.text(&f.Name), "dsn": r.text(&f.DSN), "dsn_file": r.text(&dsnFile), "table": r.text(&f.Table),
		"mode": r.oneOf(&f.Mode, ModeAppend, ModeUpsert), "key": r.texts(&f.Key), "version": r.text(&f.Version),
		"start":    r.oneOf(&f.Start, StartEarliest, StartLatest),
		"columns":  func(n *yaml.Node) { f.Columns = r.columns(n) },
		"children": func(n *yaml.Node) { f.Children = r.children(n) },
		"types":    func(n *yaml.Node) { f.Types = r.types(n) },
		"batch": func(n *yaml.Node) {
			r.keys(n, "batch", map[string]func(*yaml.Node){"rows": r.number(&f.Rows, 1), "bytes": r.number(&f.Bytes, 1)})
		},
		"lease": r.duration(&f.Lease, 500*time.Millisecond),
	})
	f.check(r, doc.Content[0])
	f.DSN = f.dsn(r, doc.Content[0], dsnFile, lookup)
	if len(r.faults) > 0 {
		return nil, r.faults
	}
	return f, nil
}

func (f *File) check(r *reader, root *yaml.Node) {
	if !sinkName.MatchString(f.Name) {
		r.fault(root, "Give it a name of [a-z0-9.-].", "name is %q: it cannot name a sink", f.Name)
	}
	if !tableName.MatchString(f.Table) {
		r.fault(root, "Write table or schema.table, in lower case.", "table is %q: it cannot name a table", f.Table)
	}
	r.reserved(root, f.Table)
	if len(f.Types) == 0 {
		r.fault(root, "List event types under types.", "the sink has no types")
	}
	if f.Mode == ModeUpsert && len(f.Key) == 0 {
		r.fault(root, "Name the columns that identify a row.", "mode upsert needs a key")
	}
	if f.Mode == ModeAppend && (len(f.Key) > 0 || f.Version != "") {
		r.fault(root, "Say mode: upsert, or leave key and version away.", "key and version are for mode upsert")
	}
	seen := map[string]bool{}
	for _, t := range f.Types {
		n := &yaml.Node{Line: t.Line}
		if seen[t.Type] {
			r.fault(n, "Keep one of them.", "the type %s is listed twice", t.Type)
		}
		seen[t.Type] = true
		if f.Mode == ModeAppend && t.Mode == ModeDelete {
			r.fault(n, "Say mode: upsert for the sink.", "a type deletes only in mode upsert")
		}
	}
}

// variable is ${NAME} in a DSN.
var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// dsn puts variables in, so that no password has to stand in a repository.
func (f *File) dsn(r *reader, root *yaml.Node, file string, lookup func(string) (string, bool)) string {
	dsn := f.DSN
	switch {
	case dsn != "" && file != "", dsn == "" && file == "":
		r.fault(root, "Say dsn: postgres://... or sqlite:FILE, or dsn_file.", "either dsn or dsn_file has to be set")
		return ""
	case file != "":
		raw, err := os.ReadFile(file)
		if err != nil {
			r.fault(root, "Check the file's name and who may read it.", "dsn_file: %v", err)
		}
		return strings.TrimSpace(string(raw))
	}
	return variable.ReplaceAllStringFunc(dsn, func(m string) string {
		name := m[2 : len(m)-1]
		v, ok := lookup(name)
		if !ok {
			r.fault(root, "Set it in the environment.", "dsn: there is no variable %s", name)
		}
		return v
	})
}

// Names that are safe in every database. Those of columns that begin with _ are the bus's own.
var (
	sinkName   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
	columnName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)
	tableName  = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,47}\.)?[a-z_][a-z0-9_]{0,47}$`)
)

// reserved refuses tables that would get in the way of the bus's own, and of those that a rebuild fills.
func (r *reader) reserved(n *yaml.Node, table string) {
	name := table[strings.LastIndex(table, ".")+1:]
	if strings.HasPrefix(name, "autobus_") || strings.HasSuffix(name, BuildSuffix) {
		r.fault(n, "Give it another name.", "%s: names that begin with autobus_ or end in %s are the bus's own", table,
			BuildSuffix)
	}
}

// problem makes a fault of a sink's file; 0 is no line.
func problem(file string, line int, hint, format string, args ...any) spec.Problem {
	return spec.Problem{File: file, Line: line, Message: fmt.Sprintf(format, args...), Hint: hint}
}
