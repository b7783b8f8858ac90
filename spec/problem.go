// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one fault of a spec repository.
type Problem struct {
	Rule    string `json:"rule,omitempty"` // the rule of the linter that it breaks, such as S01
	File    string `json:"file"`           // "" = no single file's fault
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Pointer string `json:"pointer,omitempty"` // JSON pointer within the file
	Message string `json:"message"`           // what is wrong
	Hint    string `json:"hint,omitempty"`    // what to do about it
}

// String is file:line:column: message, without the parts that are not known.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Message
	case p.Line == 0:
		return p.File + ": " + p.Message
	case p.Column == 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	default:
		return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	}
}

// Problems are all faults of a repository, by file and line.
type Problems []Problem

// Error gives one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sorted() Problems {
	slices.SortFunc(ps, comparePlaces)
	return slices.Compact(ps)
}

func comparePlaces(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
		cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Message, b.Message))
}
