// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"unicode/utf8"
)

func ruleS20() Rule {
	return Rule{
		ID: "S20", Severity: SeverityError,
		Title: "x-owner is a team of teams.yaml, there is a contact, a description of 20 characters or more, and an " +
			"example that the schema accepts.",
		Why:   "Somebody must be asked at three in the morning, and somebody must understand what the event means.",
		Mend:  "Add x-owner, contact: {name: team-checkout}, a description, and examples: [{payload: {...}}].",
		check: checkS20,
	}
}

// minDescription is how long a description is that says something.
const minDescription = 20

func checkS20(l *linter) {
	teams, listed := l.teams()
	for _, s := range l.specs {
		switch owner := s.info.child("x-owner"); {
		case s.Owner == "":
			l.add(owner, "nobody owns %s", s.Name)
		case !listed:
			l.addAs(SeverityError, owner, "Add a file teams.yaml with teams: {"+s.Owner+": {}}.",
				"there is no teams.yaml that lists the team %s", s.Owner)
		case !slices.Contains(teams, s.Owner):
			l.addAs(SeverityError, owner, "Name a team of teams.yaml, or add it there.", "teams.yaml has no team %s", s.Owner)
		}
		if s.info.child("contact").node.str("name") == "" {
			l.add(s.info.child("contact"), "%s has no contact", s.Name)
		}
		if utf8.RuneCountInString(s.Description) < minDescription {
			l.add(s.info.child("description"), "the description of %s has fewer than %d characters", s.Name, minDescription)
		}
		if s.ContentType == "" && s.schema != nil && !exemplified(s) {
			l.add(s.message.child("examples"), "%s has no example", s.Name)
		}
	}
}

// exemplified reports whether there is an example to judge; the loader judges it.
func exemplified(s *specAt) bool {
	examples := s.message.node.get("examples")
	return examples != nil && slices.ContainsFunc(examples.values, func(n *node) bool { return n.get("payload") != nil })
}

// Teams are the names in teams.yaml, which are those that x-owner may have.
func Teams(files Files) []string {
	names, _ := teamsOf(load(files["teams.yaml"], func(position, string, string) {}))
	return names
}

func (l *linter) teams() (names []string, listed bool) { return teamsOf(l.docs["teams.yaml"]) }

// teamsOf reads the keys of a mapping or the words of a list.
func teamsOf(doc *node) (names []string, listed bool) {
	list := doc.get("teams")
	if list == nil {
		return nil, false
	}
	for _, k := range list.keys {
		names = append(names, k.name)
	}
	if list.form != object {
		names = words(list)
	}
	return names, true
}
