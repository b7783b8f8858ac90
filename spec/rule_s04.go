// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strings"
)

func ruleS04() Rule {
	return Rule{
		ID: "S04", Severity: SeverityError,
		Title: "A tag says kind:event, kind:command or kind:query; an event is named by what happened (placed), a command " +
			"or query by what to do (create).",
		Why:   "An event has any number of readers and wants nothing; a command has one and wants an answer.",
		Mend:  "Add tags: [{name: 'kind:event'}], and end the name with a past participle for events only.",
		check: checkS04,
	}
}

func checkS04(l *linter) {
	for _, s := range l.specs {
		if !tagged(s) {
			l.add(s.info.child("tags"), "no tag says what kind %s is of", s.Name)
		}
		action := actionOf(s.Name)
		switch {
		case action == "" || hidesCommand(s.Name) != "": // S02 or S05 says it
		case s.Kind == "event" && !slices.ContainsFunc(strings.Split(action, "-"), isParticiple):
			l.add(s.channel.child("address"), "the event %s is named %s, which is not something that happened", s.Name,
				action)
		case s.Kind != "event" && slices.ContainsFunc(strings.Split(action, "-"), isParticiple):
			l.add(s.channel.child("address"), "the %s %s is named %s, which is not something to do", s.Kind, s.Name, action)
		}
	}
}

func tagged(s *specAt) bool {
	tags := s.info.node.get("tags")
	return tags != nil && slices.ContainsFunc(tags.values, func(n *node) bool {
		return strings.HasPrefix(n.str("name"), "kind:")
	})
}

// actionOf is the last part of a type's name before the version, "" for names of two parts.
func actionOf(name string) string {
	parts := strings.Split(name, ".")
	if len(parts) < 4 {
		return ""
	}
	return parts[len(parts)-2]
}

// isParticiple reports whether an English word is a past participle, as far as endings and the common irregular ones
// tell.
func isParticiple(word string) bool {
	if slices.Contains(strings.Fields(notParticiples), word) {
		return false
	}
	return strings.HasSuffix(word, "ed") && len(word) > 3 || slices.Contains(strings.Fields(irregular), word)
}

const (
	notParticiples = "need feed seed speed embed proceed exceed succeed breed shred"
	irregular      = "begun bent born bought bound broken brought built burnt cast caught chosen cleft come cut dealt " +
		"done drawn driven fallen fed felt fought found forbidden forgotten frozen given gone grown held hidden hit hung " +
		"hurt kept known laid led left lent let lit lost made meant met overridden overwritten paid put quit read rebuilt " +
		"redone repaid reset resold rewritten ridden risen run said seen sent set shot shown shut sold sought spent split " +
		"spoken spread stolen stood struck stuck sworn swept taken taught thrown told torn undone understood unset upset " +
		"withdrawn won woken worn written"
)
