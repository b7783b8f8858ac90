// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/autobus-io/autobus"
)

// explainer turns the validator's tree of errors into faults at the places that are wrong.
type explainer struct {
	s    *schema
	root any
}

func (x explainer) explain(e *jsonschema.ValidationError) []autobus.Fault {
	here := e.InstanceLocation
	fault := func(rule, want, got string) []autobus.Fault {
		return []autobus.Fault{newFault(here, rule, want, got)}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		return x.explainAll(e.Causes)
	case *kind.AnyOf:
		return x.explainBranches(e, "anyOf")
	case *kind.OneOf:
		if len(k.Subschemas) == 0 {
			return x.explainBranches(e, "oneOf")
		}
		return fault("oneOf", "exactly one of its branches",
			fmt.Sprintf("branches %d and %d", k.Subschemas[0], k.Subschemas[1]))
	case *kind.Type:
		return fault("type", strings.Join(k.Want, " or "), k.Got)
	case *kind.Required:
		return missing(here, k.Missing, "required", func(name string) string { return x.typeOf(e.SchemaURL, name) })
	case *kind.Dependency:
		return missing(here, k.Missing, "required", func(string) string { return "a value beside " + k.Prop })
	case *kind.AdditionalProperties:
		var faults []autobus.Fault
		for _, name := range k.Properties {
			faults = append(faults, undeclared(append(slices.Clip(here), name)))
		}
		return faults
	case *kind.Enum:
		return fault("enum", showAll(k.Want), show(k.Got))
	case *kind.Const:
		return fault("const", show(k.Want), show(k.Got))
	case *kind.Format:
		return fault("format", k.Want, show(k.Got))
	case *kind.Pattern:
		return fault("pattern", k.Want, show(k.Got))
	case *kind.MinLength:
		return fault("minLength", strconv.Itoa(k.Want), strconv.Itoa(k.Got))
	case *kind.MaxLength:
		return fault("maxLength", strconv.Itoa(k.Want), strconv.Itoa(k.Got))
	case *kind.MinItems:
		return fault("minItems", strconv.Itoa(k.Want), strconv.Itoa(k.Got))
	case *kind.MaxItems:
		return fault("maxItems", strconv.Itoa(k.Want), strconv.Itoa(k.Got))
	case *kind.MinProperties:
		return fault("minProperties", strconv.Itoa(k.Want), strconv.Itoa(k.Got))
	case *kind.MaxProperties:
		return fault("maxProperties", strconv.Itoa(k.Want), strconv.Itoa(k.Got))
	case *kind.Minimum:
		return fault("minimum", k.Want.RatString(), x.valueAt(here))
	case *kind.Maximum:
		return fault("maximum", k.Want.RatString(), x.valueAt(here))
	case *kind.ExclusiveMinimum:
		return fault("exclusiveMinimum", k.Want.RatString(), x.valueAt(here))
	case *kind.ExclusiveMaximum:
		return fault("exclusiveMaximum", k.Want.RatString(), x.valueAt(here))
	case *kind.MultipleOf:
		return fault("multipleOf", k.Want.RatString(), x.valueAt(here))
	case *kind.UniqueItems:
		return fault("uniqueItems", "different items", fmt.Sprintf("items %d and %d equal", k.Duplicates[0], k.Duplicates[1]))
	case *kind.AdditionalItems:
		return fault("additionalItems", "fewer items", fmt.Sprintf("%d too many", k.Count))
	case *kind.PropertyNames:
		here = append(slices.Clip(here), k.Property)
		return fault("propertyNames", "another name", "")
	case *kind.FalseSchema:
		return fault("false", "no value", x.valueAt(here))
	case *kind.Not:
		return fault("not", "a value that the schema under not refuses", "")
	case *kind.Contains:
		return fault("contains", "an item that matches", "")
	}
	return fault(strings.Join(e.ErrorKind.KeywordPath(), "/"), "", "")
}

func (x explainer) explainAll(errs []*jsonschema.ValidationError) []autobus.Fault {
	var faults []autobus.Fault
	for _, e := range errs {
		faults = append(faults, x.explain(e)...)
	}
	return faults
}

// explainBranches explains why no branch of a union matched: by the faults of the branch that was meant, if one can
// tell, else by naming the branches.
func (x explainer) explainBranches(e *jsonschema.ValidationError, rule string) []autobus.Fault {
	var branches [][]autobus.Fault
	for _, cause := range e.Causes {
		branches = append(branches, x.explain(cause))
	}
	here := pointer(e.InstanceLocation)
	other := func(f autobus.Fault) bool { // the branch is meant for something else
		return f.Rule == "type" && f.Pointer == here || f.Rule == "const" ||
			f.Rule == "required" && f.Pointer == here+"/$ref"
	}
	meant := slices.DeleteFunc(slices.Clone(branches), func(fs []autobus.Fault) bool {
		return slices.ContainsFunc(fs, other)
	})
	switch len(meant) {
	case 1:
		return meant[0]
	case 0:
		if f, ok := mergeTags(branches, rule); ok {
			return []autobus.Fault{f}
		}
		meant = branches
	}
	slices.SortStableFunc(meant, func(a, b []autobus.Fault) int { return len(a) - len(b) })
	if len(meant) > 1 && len(meant[0]) < len(meant[1]) {
		return meant[0]
	}
	return []autobus.Fault{newFault(e.InstanceLocation, rule, x.branchNames(e, rule), "")}
}

// mergeTags joins the faults of branches that all miss the same tag or type: "card" or "cash", string or object.
func mergeTags(branches [][]autobus.Fault, rule string) (autobus.Fault, bool) {
	var tag autobus.Fault
	var wants []string
	for _, fs := range branches {
		i := slices.IndexFunc(fs, func(f autobus.Fault) bool { return f.Rule == "type" || f.Rule == "const" })
		if i < 0 || len(wants) > 0 && (fs[i].Pointer != tag.Pointer || fs[i].Rule != tag.Rule) {
			return tag, false
		}
		tag = fs[i]
		wants = append(wants, tag.Want)
	}
	if len(wants) == 0 {
		return tag, false
	}
	if tag.Rule == "const" {
		tag.Rule = rule
	}
	tag.Want = shorten(strings.Join(slices.Compact(wants), " or "), 4*maxValue)
	return tag, true
}

func (x explainer) branchNames(e *jsonschema.ValidationError, rule string) string {
	s := x.s.at[e.SchemaURL]
	if s == nil {
		return "one of its branches"
	}
	subs := s.OneOf
	if rule == "anyOf" {
		subs = s.AnyOf
	}
	var names []string
	for i, sub := range subs {
		name := sub.Title
		if sub.Ref != nil {
			name = sub.Ref.Location[strings.LastIndexByte(sub.Ref.Location, '/')+1:]
		}
		if name == "" {
			name = fmt.Sprintf("branch %d", i)
		}
		names = append(names, name)
	}
	return strings.Join(names, " or ")
}

// typeOf names the type of a property that the schema at a location declares.
func (x explainer) typeOf(location, name string) string {
	s := x.s.at[location]
	if s == nil {
		return ""
	}
	for s = s.Properties[name]; s != nil; s = s.Ref {
		if s.Types != nil {
			return strings.Join(s.Types.ToStrings(), " or ")
		}
	}
	return ""
}

func (x explainer) valueAt(path []string) string {
	v := x.root
	for _, token := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[token]
		case []any:
			i, _ := itemIndex(token)
			v = in[i]
		}
	}
	return show(v)
}

func newFault(path []string, rule, want, got string) autobus.Fault {
	return autobus.Fault{Pointer: shorten(pointer(path), maxPointer), Rule: rule, Want: want, Got: got}
}

func undeclared(path []string) autobus.Fault { return newFault(path, "undeclared", "", "") }

func missing(here, names []string, rule string, want func(string) string) []autobus.Fault {
	faults := make([]autobus.Fault, 0, len(names))
	for _, name := range names {
		faults = append(faults, newFault(append(slices.Clip(here), name), rule, want(name), ""))
	}
	return faults
}
