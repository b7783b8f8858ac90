// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

func ruleS12() Rule {
	return Rule{
		ID: "S12", Severity: SeverityError,
		Title: "Money and decimals are strings with format: decimal, an amount of money beside its currency; a measured " +
			"number that may be rounded says x-approximate: true.",
		Why:   "0.1 + 0.2 differs between languages, and so does the sum of an order.",
		Mend:  "Write {type: string, format: decimal}, and currency: {type: string, pattern: '^[A-Z]{3}$'} beside it.",
		check: checkS12,
	}
}

func checkS12(l *linter) {
	for _, s := range l.schemas {
		if s.has("number") && !s.flag("x-approximate") {
			l.add(s.declared, "%s is a number, which is rounded differently by each reader", orThis(s.name))
		}
	}
	for _, f := range l.fields {
		if f.node.str("format") != "decimal" || !isMoney(f.name) || f.in == nil {
			continue
		}
		if f.in.node.get("properties").get("currency") == nil {
			l.add(f.declared, "%s is an amount of money without a currency beside it", f.name)
		}
	}
}

func isMoney(name string) bool {
	return slices.ContainsFunc(wordsOf(name), func(word string) bool {
		return slices.Contains([]string{"amount", "price", "total", "cost", "fee", "sum", "balance"}, word)
	})
}

// orThis names a schema that is no property.
func orThis(name string) string {
	if name == "" {
		return "this"
	}
	return name
}
