// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/autobus-io/autobus"
)

// Bounds of one file, aliases written out: enough for any spec, too little for a bomb.
const (
	maxNodes     = 200_000
	maxYAMLDepth = 200
)

// load reads one YAML file strictly: one document, no key twice, plain JSON values only. Anchors and aliases are fine.
// It returns nil when there is nothing to work with; what is wrong goes to report.
func load(data []byte, report func(pos position, hint, message string)) *node {
	if len(data) > maxFileBytes {
		report(position{line: 1}, "Split it: one file per event type.",
			fmt.Sprintf("the file has more than %d bytes", maxFileBytes))
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		report(position{line: 1}, "Write the spec into it or delete it.", "the file is empty")
		return nil
	} else if err != nil {
		reportSyntax(data, err, report)
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		report(position{second.Line, second.Column}, "Put it into a file of its own.", "a second YAML document")
	case !errors.Is(err, io.EOF):
		reportSyntax(data, err, report)
	}
	l := loader{report: report, open: map[*yaml.Node]bool{}}
	n := l.convert(doc.Content[0], 0)
	if l.tooLarge {
		return nil
	}
	return n
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// reportSyntax says what the YAML parser says, and points at tabs, which it calls by other names.
func reportSyntax(data []byte, err error, report func(position, string, string)) {
	tabs := 0
	for i, line := range bytes.Split(data, []byte("\n")) {
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if at := bytes.IndexByte(indent, '\t'); at >= 0 && len(indent) < len(line) {
			report(position{i + 1, at + 1}, "Indent with spaces.", "a tab in the indentation")
			tabs++
		}
	}
	if tabs > 0 {
		return
	}
	line, message := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(strings.Split(message, "\n")[0]); m != nil {
		n, _ := strconv.Atoi(m[1])
		line, message = max(n, 1), m[2] // some faults have no line
	}
	report(position{line: line}, "Mend the YAML; the line before may be the wrong one.", "not valid YAML: "+message)
}

type loader struct {
	report   func(pos position, hint, message string)
	open     map[*yaml.Node]bool // aliased nodes on the way to here
	nodes    int
	tooLarge bool
}

func (l *loader) convert(y *yaml.Node, depth int) *node {
	n := &node{pos: position{y.Line, y.Column}, text: "null"}
	if l.tooLarge {
		return n
	}
	if l.nodes++; l.nodes > maxNodes || depth > maxYAMLDepth {
		l.tooLarge = true
		l.report(n.pos, "Split the file, use fewer aliases.",
			fmt.Sprintf("more than %d values or nested deeper than %d", maxNodes, maxYAMLDepth))
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		if l.open[y.Alias] {
			l.report(n.pos, "Use $ref for recursive schemas.", fmt.Sprintf("the alias *%s contains itself", y.Value))
			return n
		}
		l.open[y.Alias] = true
		n = l.convert(y.Alias, depth+1)
		delete(l.open, y.Alias)
	case yaml.MappingNode:
		l.mapping(n, y, depth)
	case yaml.SequenceNode:
		n.form = list
		for _, item := range y.Content {
			n.values = append(n.values, l.convert(item, depth+1))
		}
	default:
		l.scalar(n, y)
	}
	return n
}

func (l *loader) mapping(n *node, y *yaml.Node, depth int) {
	n.form = object
	if y.Anchor != "" {
		l.open[y] = true // an alias inside its own anchor
		defer delete(l.open, y)
	}
	lines := make(map[string]int, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		pos := position{y.Content[i].Line, y.Content[i].Column}
		switch {
		case k.Kind != yaml.ScalarNode:
			l.report(pos, "Use a plain word as key.", "a key that is not a word")
			continue
		case k.ShortTag() == "!!merge":
			l.report(pos, "Use $ref, or an alias for the whole value.", "merge keys (<<) are not read")
			continue
		case lines[k.Value] > 0:
			l.report(pos, "Leave one of them.", fmt.Sprintf("the key %q stands twice, first in line %d", k.Value,
				lines[k.Value]))
			continue
		}
		lines[k.Value] = pos.line
		n.keys = append(n.keys, key{k.Value, pos})
		n.values = append(n.values, l.convert(y.Content[i+1], depth+1))
	}
}

func (l *loader) scalar(n *node, y *yaml.Node) {
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp":
		n.form, n.value = str, y.Value
	case "!!null":
		n.text = "null"
	case "!!bool":
		n.text = strings.ToLower(y.Value)
	case "!!int", "!!float":
		text, ok := jsonNumber(y.Value)
		if !ok {
			l.report(n.pos, "Write it as JSON does.",
				fmt.Sprintf("%s is not a number that JSON knows", shorten(y.Value, maxValue)))
			return
		}
		n.text = text
	default:
		l.report(n.pos, "Leave the tag away.", fmt.Sprintf("the tag %s is not read", tag))
	}
}

// jsonNumber writes a YAML number as JSON does.
func jsonNumber(s string) (string, bool) {
	if n, exponent := numberLen([]byte(s)); n == len(s) && n > 0 {
		return s, n <= autobus.MaxNumberBytes && exponent <= maxExponentDigits
	}
	plain := strings.ReplaceAll(s, "_", "")
	if i, ok := new(big.Int).SetString(strings.TrimPrefix(plain, "+"), 0); ok && len(plain) <= autobus.MaxNumberBytes {
		return i.String(), true
	}
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return "", false
	}
	return strconv.FormatFloat(f, 'g', -1, 64), true
}
