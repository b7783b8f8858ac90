// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS24() Rule {
	return Rule{
		ID: "S24", Severity: SeverityError,
		Title: "There are as many partitions as a reader wants workers (x-parallel); a type with order never changes their " +
			"number.",
		Why:   "A partition more moves keys to other partitions, and events of one order overtake each other.",
		Mend:  "Choose enough partitions before the first event; later make a new topic, which is a new major.",
		check: checkS24,
	}
}

func checkS24(l *linter) {
	for _, s := range l.specs {
		for _, in := range l.readersOf(s.Name) {
			want, said := intOf(l.said(in.op, "x-parallel").node)
			if said && s.Partitions > 0 && want > int(s.Partitions) {
				l.add(l.walk(s.channel, "bindings", "kafka").child("partitions"), "%s has %d partitions, but %s wants %d "+
					"workers", s.Name, s.Partitions, l.serviceOf(in), want)
			}
		}
	}
	l.broken(func(f Finding) bool { return f.Kind == partitionsChanged })
}
