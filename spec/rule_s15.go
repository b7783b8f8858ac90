// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

func ruleS15() Rule {
	return Rule{
		ID: "S15", Severity: SeverityError,
		Title: "The branches of oneOf are objects with a title, told apart by one required property with a const.",
		Why:   "Only then every language can make a union of it, and a reader can tell a branch it does not know.",
		Mend:  "Give each branch title: CardPayment and properties: {method: {const: card}} with required: [method].",
		check: checkS15,
	}
}

func checkS15(l *linter) {
	for _, s := range l.schemas {
		branches := s.child("oneOf")
		if branches.node == nil || branches.node.form != list {
			continue
		}
		var shared map[string]bool
		values := map[string][]string{}
		sound := true
		for i := range branches.node.values {
			branch := branches.child(itoa(i))
			to, err := l.resolve(branch)
			if err != nil {
				sound = false
				continue
			}
			if !slices.Equal(typesOf(to.node), []string{"object"}) || to.node.str("title") == "" {
				l.add(branch, "branch %d is not an object with a title", i+1)
				sound = false
				continue
			}
			tags := l.tags(s.spec, to)
			for name, value := range tags {
				values[name] = append(values[name], value)
			}
			next := map[string]bool{}
			for name := range tags {
				next[name] = shared == nil || shared[name]
			}
			shared = next
		}
		if sound && !anyTag(shared, values, len(branches.node.values)) {
			l.add(branches, "no required property has another const in each branch")
		}
	}
}

// tags are the required properties of a branch that have one value.
func (l *linter) tags(s *specAt, branch place) map[string]string {
	out := map[string]string{}
	for _, f := range l.topFields(s, branch) {
		if value := f.says("const"); value != nil && f.required {
			out[f.name] = string(value.raw())
		}
	}
	return out
}

func anyTag(shared map[string]bool, values map[string][]string, n int) bool {
	for name, in := range shared {
		distinct := slices.Compact(slices.Sorted(slices.Values(values[name])))
		if in && len(distinct) == n {
			return true
		}
	}
	return false
}
