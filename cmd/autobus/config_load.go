// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/autobus-io/autobus"
)

// flagValues are settings given on the command line, by path: they win over everything.
type flagValues map[string]string

// loadConfig builds the configuration: defaults, then the file, then the environment, then flags. The problems hold
// every fault there is; the caller adds those of the files it reads, and ends with their err.
func loadConfig(file string, flags flagValues) (*config, *problems, error) {
	if file == "" {
		return nil, nil, usage("no configuration").WithHint("Give --config FILE; docs/reference/config.md has the keys.")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, usage("the configuration cannot be read: %s", err).WithHint("Check --config.")
	}
	c := defaultConfig()
	p := &problems{file: file, places: map[string]place{}, spoiled: map[string]bool{}}
	p.readFile(raw, valueOf(&c))
	p.readEnv(serveVariables, valueOf(&c))
	p.readFlags(valueOf(&c), flags)
	c.check(p)
	return &c, p, nil
}

// A place is where a value came from.
type place struct {
	text         string // "file:3:7", "AUTOBUS_LISTEN" or "--listen"
	line, column int
}

type fault struct {
	place
	message, hint string
}

func (f *fault) next(format string, args ...any) { f.hint = fmt.Sprintf(format, args...) }

// problems gathers what is wrong with a configuration, so that one run shows all of it.
type problems struct {
	file   string
	places map[string]place
	list   []*fault
	// spoiled are the paths at which a fault was found. The value there is not what somebody meant, so that nothing
	// more can be said of it, nor of what is below.
	spoiled map[string]bool
}

// sound reports whether the values at these paths can still be judged.
func (p *problems) sound(paths ...string) bool {
	for _, path := range paths {
		for ; path != ""; path = outer(path) {
			if p.spoiled[path] {
				return false
			}
		}
	}
	return !p.spoiled[""]
}

// outer is the path around a path.
func outer(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// at adds a fault of the value at a path, unless there is one. A key that is not there points at the nearest one
// around it.
func (p *problems) at(path, format string, args ...any) *fault {
	where, ok := p.places[path]
	for rest := path; !ok && rest != ""; {
		rest = outer(rest)
		where, ok = p.places[rest]
	}
	if !ok {
		where = place{text: p.file}
	}
	f := &fault{place: where, message: path + ": " + fmt.Sprintf(format, args...)}
	if p.sound(path) {
		p.list = append(p.list, f)
	}
	p.spoiled[path] = true
	return f
}

func (p *problems) atNode(n *yaml.Node, format string, args ...any) *fault {
	f := &fault{place: p.placeOf(n), message: fmt.Sprintf(format, args...)}
	p.list = append(p.list, f)
	return f
}

func (p *problems) placeOf(n *yaml.Node) place {
	return place{text: fmt.Sprintf("%s:%d:%d", p.file, n.Line, n.Column), line: n.Line, column: n.Column}
}

// err is every fault in the order of the file, or nil.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	p.sort()
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", len(p.list), plural(len(p.list), "fault"))
	for _, f := range p.list {
		fmt.Fprintf(&b, "\n  %s: %s", f.text, f.message)
		if f.hint != "" {
			fmt.Fprintf(&b, "\n    next: %s", f.hint)
		}
	}
	return &exitError{code: exitUsage, err: autobus.NewError(autobus.ReasonConfigInvalid, "%s", b.String())}
}

// sort puts the faults into the order of the file.
func (p *problems) sort() {
	slices.SortStableFunc(p.list, func(a, b *fault) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func (p *problems) readFile(raw []byte, c reflect.Value) {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF): // an empty file: defaults, environment and flags may be enough
		return
	case err != nil:
		p.list = append(p.list, &fault{place: place{text: p.file}, message: strings.TrimPrefix(err.Error(), "yaml: "),
			hint: "this is not YAML; mind the indentation"})
		p.spoiled[""] = true
		return
	}
	p.decode(doc.Content[0], "", c)
	var more yaml.Node
	if err := d.Decode(&more); err == nil {
		p.atNode(&more, "a second document").next("one file holds one configuration; remove it")
	}
}
