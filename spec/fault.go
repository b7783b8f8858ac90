// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// maxFaults is how many faults one event's refusal lists.
const maxFaults = 20

// sentence says a fault for people. It repeats nothing of the data but types, because it goes into logs.
func sentence(f autobus.Fault) string {
	switch f.Rule {
	case "required":
		return "is missing"
	case "undeclared":
		return "is not declared"
	case "type":
		return fmt.Sprintf("must be %s, is %s", f.Want, f.Got)
	case "enum", "oneOf", "anyOf", "const":
		return "must be " + f.Want
	case "format":
		return "must be a valid " + f.Want
	case "duplicate":
		return "the key stands twice"
	case "syntax":
		if f.Got != "" {
			return fmt.Sprintf("%s where %s was expected", f.Got, f.Want)
		}
		return "must be " + f.Want
	case "utf8":
		return "is not valid UTF-8"
	case "depth":
		return "nested deeper than " + strings.TrimPrefix(f.Want, "at most ")
	case "number":
		return "a number must have " + f.Want
	case "minimum":
		return "must be at least " + f.Want
	case "maximum":
		return "must be at most " + f.Want
	case "exclusiveMinimum":
		return "must be greater than " + f.Want
	case "exclusiveMaximum":
		return "must be less than " + f.Want
	case "multipleOf":
		return "must be a multiple of " + f.Want
	case "minLength":
		return "must have at least " + plural(f.Want, "character")
	case "maxLength":
		return "must have at most " + plural(f.Want, "character")
	case "minItems":
		return "must have at least " + plural(f.Want, "item")
	case "maxItems":
		return "must have at most " + plural(f.Want, "item")
	case "minProperties":
		return "must have at least " + plural(f.Want, "field")
	case "maxProperties":
		return "must have at most " + plural(f.Want, "field")
	case "uniqueItems", "additionalItems", "contains":
		return "must have " + f.Want
	case "pattern":
		return "must match the pattern " + f.Want
	}
	if f.Want == "" {
		return "breaks " + f.Rule
	}
	return fmt.Sprintf("breaks %s (%s)", f.Rule, f.Want)
}

func plural(n, thing string) string {
	if n == "1" {
		return "1 " + thing
	}
	return n + " " + thing + "s"
}

// settle puts faults into the order of their pointers, each once, at most maxFaults of them.
func settle(faults []autobus.Fault) []autobus.Fault {
	slices.SortFunc(faults, func(a, b autobus.Fault) int {
		return cmp.Or(comparePointers(a.Pointer, b.Pointer), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Want, b.Want),
			cmp.Compare(a.Got, b.Got))
	})
	faults = slices.Compact(faults)
	return faults[:min(len(faults), maxFaults)]
}

// comparePointers orders by steps, items by their index.
func comparePointers(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, "/")
		y, b, _ = strings.Cut(b, "/")
		i, isItem := itemIndex(x)
		j, isItemToo := itemIndex(y)
		c := cmp.Compare(x, y)
		if isItem && isItemToo {
			c = cmp.Compare(i, j)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// show gives a value as short JSON.
func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%T", v)
	}
	return shorten(string(b), maxValue)
}

func showAll(vs []any) string {
	shown := make([]string, len(vs))
	for i, v := range vs {
		shown[i] = show(v)
	}
	return shorten(strings.Join(shown, " or "), 4*maxValue)
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "number"
}
