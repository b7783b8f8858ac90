// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS01() Rule {
	return Rule{
		ID: "S01", Severity: SeverityError,
		Title: "The files are AsyncAPI 3.1 with JSON Schema draft-07, and every $ref leads to a place in this repository.",
		Why:   "The bus and every other tool must read the same thing, without a network.",
		Mend:  "Each finding says what to write instead; it is what the bus itself would refuse.",
	}
}
