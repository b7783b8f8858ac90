// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// LetterGroups is what there is of dead letters, by reason.
type LetterGroups struct {
	Subscription string        `json:"subscription"`
	Count        int64         `json:"count"`
	Oldest       time.Time     `json:"oldest,omitzero"`
	Youngest     time.Time     `json:"youngest,omitzero"`
	Retention    string        `json:"retention,omitempty"` // how long they are kept; absent = for ever
	Skipped      int64         `json:"skipped,omitempty"`   // the oldest ones, which were too many to look at
	Groups       []LetterGroup `json:"groups"`              // the most frequent first
}

// LetterGroup is the dead letters of one kind of reason and one type.
type LetterGroup struct {
	Fingerprint string    `json:"fingerprint"`
	Type        string    `json:"type"`
	Reason      string    `json:"reason"` // of the youngest
	Count       int64     `json:"count"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Example     int64     `json:"example"` // number of the youngest
}

// DeadLetterGroups counts the dead letters by reason and type.
func (b *Bus) DeadLetterGroups(ctx context.Context, name string) (LetterGroups, error) {
	out := LetterGroups{Subscription: name, Groups: []LetterGroup{}}
	if err := b.peek(ctx, name); err != nil {
		return out, err
	}
	fates, have, err := b.standing(ctx, name)
	if err != nil {
		return out, err
	}
	from := max(have.First, have.End-lettersGrouped)
	out.Skipped = from - have.First
	have.First = from
	var groups grouper
	_, err = b.eachLetter(ctx, name, have, func(l *DeadLetter) bool {
		if fates.of(l) != "" {
			return true
		}
		out.Count++
		if out.Oldest.IsZero() {
			out.Oldest = l.Last
		}
		out.Youngest = l.Last
		groups.add(l)
		return true
	})
	out.Groups = groups.done()
	if fates.kept > 0 {
		out.Retention = autobus.Duration(fates.kept).String()
	}
	return out, err
}

// grouper counts letters by reason and type.
type grouper struct {
	at     map[[2]string]int
	groups []LetterGroup
}

func (g *grouper) add(l *DeadLetter) {
	if g.at == nil {
		g.at = map[[2]string]int{}
	}
	kind := [2]string{l.Fingerprint, l.Type}
	i, known := g.at[kind]
	if !known {
		if len(g.groups) == groupsMost {
			return
		}
		i = len(g.groups)
		g.at[kind] = i
		g.groups = append(g.groups, LetterGroup{Fingerprint: l.Fingerprint, Type: l.Type, First: l.Last})
	}
	to := &g.groups[i]
	to.Reason, to.Last, to.Example = l.Reason, l.Last, l.Number
	to.Count++
}

// done gives the groups, the most frequent first.
func (g *grouper) done() []LetterGroup {
	slices.SortStableFunc(g.groups, func(a, b LetterGroup) int { return cmp.Compare(b.Count, a.Count) })
	return append([]LetterGroup{}, g.groups...)
}
