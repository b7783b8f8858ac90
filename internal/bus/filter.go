// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

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
	checked, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, autobus.NewError(autobus.ReasonFilterInvalid, "%v", issues.Err())
	}
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, autobus.NewError(autobus.ReasonFilterInvalid, "the filter gives %s, not true or false", out)
	}
	if err := knownParams(checked, params); err != nil {
		return nil, err
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(filterCost))
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonFilterInvalid, "%v", err)
	}
	return &filter{program, params}, nil
}

// knownParams refuses a filter that asks for a parameter nobody gives: it would fail on every event, and every event
// would be delivered.
func knownParams(checked *cel.Ast, params map[string]string) *autobus.Error {
	var unknown string
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		name, asked := paramOf(e)
		if _, given := params[name]; asked && !given && unknown == "" {
			unknown = name
		}
	}))
	if unknown == "" {
		return nil
	}
	err := autobus.NewError(autobus.ReasonFilterInvalid, "the filter asks for params.%s, which is not given",
		clipName(unknown))
	if names := slices.Sorted(maps.Keys(params)); len(names) > 0 {
		return err.WithHint("The parameters are %s.", strings.Join(names, ", "))
	}
	return err.WithHint("Give params, or write the value itself.")
}

// paramOf gives the parameter that an expression reads, by params.name or params["name"]; has(params.name) reads none.
func paramOf(e ast.Expr) (name string, ok bool) {
	isParams := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "params" }
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		return s.FieldName(), !s.IsTestOnly() && isParams(s.Operand())
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() == operators.Index && len(c.Args()) == 2 && isParams(c.Args()[0]) &&
			c.Args()[1].Kind() == ast.LiteralKind {
			name, ok = c.Args()[1].AsLiteral().Value().(string)
		}
	default:
	}
	return name, ok
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
