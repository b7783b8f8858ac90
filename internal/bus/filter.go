// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/autobus-io/autobus"
)

// filter is a compiled CEL expression over an event: data, id, source, type, subject, time, key, ext, and the params of
// a subscription. Integers in the data are int, other numbers double.
type filter struct {
	program cel.Program
	params  map[string]string
}

// filterCost bounds the work of one evaluation, in CEL's own units: far above any honest filter, far below what a
// hostile one would need to hold up a reader.
const filterCost = 100_000

// CheckFilter says what is wrong with the filter of a subscription: ReasonFilterInvalid, or nil.
func CheckFilter(expression string, params map[string]string) error {
	_, err := newFilter(expression, params)
	return asError(err)
}

// newFilter compiles an expression; the empty one lets everything pass (nil).
func newFilter(expression string, params map[string]string) (*filter, *autobus.Error) {
	if strings.TrimSpace(expression) == "" {
		return nil, nil
	}
	env, err := cel.NewEnv(
		cel.Variable("data", cel.DynType),
		cel.Variable("id", cel.StringType),
		cel.Variable("source", cel.StringType),
		cel.Variable("type", cel.StringType),
		cel.Variable("subject", cel.StringType),
		cel.Variable("time", cel.TimestampType),
		cel.Variable("key", cel.StringType),
		cel.Variable("ext", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("params", cel.MapType(cel.StringType, cel.StringType)),
	)
	if err != nil {
		return nil, autobus.AsError(err)
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, autobus.NewError(autobus.ReasonFilterInvalid, "%v", issues.Err())
	}
	if out := ast.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, autobus.NewError(autobus.ReasonFilterInvalid, "the filter gives %s, not true or false", out)
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(filterCost))
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonFilterInvalid, "%v", err)
	}
	return &filter{program, params}, nil
}

// pass reports whether the event is wanted. Where the expression fails on an event, the event is delivered: to be
// asked too often is better than to miss one.
func (f *filter) pass(e *autobus.Event) (wanted, failed bool) {
	if f == nil {
		return true, false
	}
	ext := make(map[string]string, len(e.Extensions))
	for _, x := range e.Extensions {
		ext[x.Name] = x.Value
	}
	out, _, err := f.program.Eval(map[string]any{
		"data": func() any { return filterData(e) },
		"id":   e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject, "time": e.Time,
		"key": strings.ToValidUTF8(string(e.Key), "\uFFFD"), "ext": ext, "params": f.params,
	})
	if err != nil {
		return true, true
	}
	wanted, isBool := out.Value().(bool)
	return wanted || !isBool, !isBool
}

// filterData is the data as CEL sees it: JSON decoded, anything else as bytes.
func filterData(e *autobus.Event) any {
	if !e.IsJSON() {
		return e.Data
	}
	d := json.NewDecoder(bytes.NewReader(e.Data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return e.Data
	}
	return numbers(v)
}

// numbers turns JSON numbers into int64 where they are integers, else into float64.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}
