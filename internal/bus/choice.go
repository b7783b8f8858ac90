// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// maxChosen is how many letters may be named one by one.
const maxChosen = 1000

// LetterChoice chooses dead letters: those that all of the fields choose which are set. The zero one chooses all.
type LetterChoice struct {
	Numbers     []int64  `json:"numbers,omitempty"`     // of letters
	IDs         []string `json:"ids,omitempty"`         // of events
	Fingerprint string   `json:"fingerprint,omitempty"` // of the reason
	// Filter is CEL over the event, as of a subscription; but an event on which it fails is not chosen.
	Filter string `json:"filter,omitempty"`
	Before int64  `json:"before,omitempty"` // only letters before this number; 0 = all that there are
}

// check refuses what cannot be meant, and puts the rest into order.
func (c *LetterChoice) check() *autobus.Error {
	switch {
	case len(c.Numbers) > maxChosen || len(c.IDs) > maxChosen:
		return autobus.NewError(autobus.ReasonRequestInvalid, "%d dead letters are named one by one, at most %d may be",
			max(len(c.Numbers), len(c.IDs)), maxChosen).WithHint("Choose them by fingerprint or filter.")
	case c.Before < 0:
		return autobus.NewError(autobus.ReasonRequestInvalid, "before is %d", c.Before).
			WithHint("Give the number of a dead letter, or end of a plan.")
	case c.Numbers != nil && len(c.Numbers) == 0 || c.IDs != nil && len(c.IDs) == 0:
		return autobus.NewError(autobus.ReasonRequestInvalid, "numbers or ids is empty, and would choose nothing").
			WithHint("Leave it away to choose all.")
	}
	c.Numbers = slices.Compact(slices.Sorted(slices.Values(c.Numbers)))
	return nil
}

// choice is a compiled LetterChoice of the letters before end.
type choice struct {
	end     int64
	numbers []int64
	ids     map[string]struct{}
	reason  string // fingerprint of it
	filter  *filter
}

func newChoice(c LetterChoice, end int64) (choice, *autobus.Error) {
	f, err := newFilter(c.Filter, nil)
	out := choice{end: end, numbers: c.Numbers, reason: c.Fingerprint, filter: f}
	if len(c.IDs) > 0 {
		out.ids = map[string]struct{}{}
		for _, id := range c.IDs {
			out.ids[id] = struct{}{}
		}
	}
	return out, err
}

// choiceOf is that of a job. What was written there was compiled once already.
func choiceOf(j *control.Job) (choice, *autobus.Error) {
	return newChoice(LetterChoice{Numbers: j.Numbers, IDs: j.IDs, Fingerprint: j.Fingerprint, Filter: j.Filter}, j.End)
}

// takes reports whether a letter is chosen. To deliver an event too often is better than to miss one, but to drop or to
// redrive one that nobody meant is not: where the filter fails, the letter is left alone.
func (c *choice) takes(l *DeadLetter) bool {
	if l.Number >= c.end {
		return false
	}
	if len(c.numbers) > 0 {
		if _, named := slices.BinarySearch(c.numbers, l.Number); !named {
			return false
		}
	}
	if c.ids != nil {
		if _, named := c.ids[l.ID]; !named {
			return false
		}
	}
	if c.reason != "" && c.reason != l.Fingerprint {
		return false
	}
	passes, failed := c.filter.pass(&l.event)
	return passes && !failed
}

// missing refuses a choice that names letters which are not there.
func (c *LetterChoice) missing(subscription string, numbers map[int64]struct{},
	ids map[string]struct{}) *autobus.Error {
	var absent []string
	for _, n := range c.Numbers {
		if _, ok := numbers[n]; !ok {
			absent = append(absent, fmt.Sprint(n))
		}
	}
	for _, id := range c.IDs {
		if _, ok := ids[id]; !ok {
			absent = append(absent, fmt.Sprintf("%q", clipName(id)))
		}
	}
	if len(absent) == 0 {
		return nil
	}
	const most = 10
	more := ""
	if len(absent) > most {
		absent, more = absent[:most], ", ..."
	}
	return autobus.NewError(autobus.ReasonDeadLetterUnknown, "among the dead letters of %s there is no %s%s", subscription,
		strings.Join(absent, ", "), more)
}
