// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"
)

// spec is a type of the repository by its name, nil when there is none.
func (l *linter) spec(name string) *specAt {
	for _, s := range l.specs {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// readersOf are the operations by which services receive a type.
func (l *linter) readersOf(name string) []receiving {
	var out []receiving
	for _, in := range l.receives {
		if ch, err := l.resolve(in.op.child("channel")); err == nil && ch.node.str("address") == name {
			out = append(out, in)
		}
	}
	return out
}

// services are the names of the services that receive a type.
func (l *linter) services(name string) []string {
	var out []string
	for _, in := range l.readersOf(name) {
		out = append(out, l.serviceOf(in))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// serviceOf is the name of the service that receives: the title of its file, else the file's name.
func (l *linter) serviceOf(in receiving) string {
	return cmp.Or(in.doc.child("info").node.str("title"), strings.TrimSuffix(path.Base(in.doc.file),
		path.Ext(in.doc.file)))
}

// splitName are the parts of a type's name before its version.
func splitName(name string) []string {
	parts := strings.Split(name, ".")
	return parts[:len(parts)-1]
}

// durationOf reads "60s"; false where there is none.
func durationOf(n *node) (time.Duration, bool) {
	if n == nil || n.form != str {
		return 0, false
	}
	d, err := time.ParseDuration(n.value)
	return d, err == nil && d > 0
}
