// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strings"
)

func ruleS08() Rule {
	return Rule{
		ID: "S08", Severity: SeverityWarning,
		Title: "Of five fields or more at most 40 % are optional, there are at most 30, and three minor versions in a row " +
			"did not only add optional ones.",
		Why: "One more optional field is always easier than a new event, until nobody knows which fields come together. " +
			"What versions added is seen with --against.",
		Mend:  "Consider an event of its own for what comes together; autobus spec new TYPE --like OTHER begins one.",
		check: checkS08,
	}
}

// What an event may have before it looks like several.
const (
	manyFields      = 30
	fewFields       = 5
	maxOptionalPart = 40 // per cent
	manySteps       = 3  // minor versions
)

func checkS08(l *linter) {
	for _, s := range l.specs {
		optional := 0
		for _, f := range s.top {
			if !f.required {
				optional++
			}
		}
		switch n := len(s.top); {
		case n > manyFields:
			l.add(s.payload, "%s has %d fields", s.Name, n)
		case n >= fewFields && optional*100 > n*maxOptionalPart:
			l.add(s.payload, "%d of %d fields of %s are optional", optional, n, s.Name)
		}
		if added := l.onlyAdded(s.Type); len(added) >= manySteps {
			l.add(s.info.child("version"), "the last %d minor versions of %s only added optional fields: %s", len(added),
				s.Name, strings.Join(added, ", "))
		}
	}
}

// onlyAdded gives what the last minor versions of a type added, the oldest first, as far back as each of them did no
// more than add optional fields.
func (l *linter) onlyAdded(t *Type) []string {
	versions := []*Type{t}
	for _, s := range slices.Backward(l.history) {
		if older, ok := s.Type(t.Name); ok && older.Version != versions[0].Version {
			versions = slices.Insert(versions, 0, older)
		}
	}
	var added []string
	for i := len(versions) - 1; i > 0; i-- {
		was, is := semverOf(versions[i-1].Version), semverOf(versions[i].Version)
		fields, only := addedFields(versions[i-1], versions[i])
		switch {
		case !only, slices.Compare(was[:], is[:]) > 0:
			return added
		case len(fields) > 0 && was[1] != is[1]:
			added = slices.Insert(added, 0, strings.Join(fields, " and "))
		}
	}
	return added
}

// addedFields gives the optional fields that a version has more than the one before it; only, if nothing else of the
// data changed.
func addedFields(older, newer *Type) (fields []string, only bool) {
	changes, err := CompareSchemas(older.Schema, newer.Schema, PolicyLenient)
	if err != nil {
		return nil, false
	}
	for _, c := range changes {
		switch c.Kind {
		case "ID_CHANGED", "TITLE_CHANGED", "DESCRIPTION_CHANGED", "DEFAULT_CHANGED":
		case "OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", "OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL",
			"PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL":
			steps := tokens(strings.TrimPrefix(c.Pointer, "#"))
			fields = append(fields, steps[len(steps)-1])
		default:
			return nil, false
		}
	}
	return fields, true
}
