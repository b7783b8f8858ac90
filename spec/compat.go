// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"slices"

	"github.com/autobus-io/autobus"
)

// CompatLevel says which readers must get along with which data.
type CompatLevel string

// The levels, as schema registries call them. BACKWARD: readers of the new schema read data of the one before; FORWARD:
// readers of the one before read data of the new schema; FULL: both. The transitive ones mean all earlier versions.
const (
	LevelNone               CompatLevel = "NONE"
	LevelBackward           CompatLevel = "BACKWARD"
	LevelBackwardTransitive CompatLevel = "BACKWARD_TRANSITIVE"
	LevelForward            CompatLevel = "FORWARD"
	LevelForwardTransitive  CompatLevel = "FORWARD_TRANSITIVE"
	LevelFull               CompatLevel = "FULL"
	LevelFullTransitive     CompatLevel = "FULL_TRANSITIVE"
)

// CompatLevels returns all levels, the weakest first.
func CompatLevels() []CompatLevel {
	return []CompatLevel{LevelNone, LevelBackward, LevelBackwardTransitive, LevelForward, LevelForwardTransitive,
		LevelFull, LevelFullTransitive}
}

func (l CompatLevel) backward() bool {
	return slices.Contains([]CompatLevel{LevelBackward, LevelBackwardTransitive, LevelFull, LevelFullTransitive}, l)
}

func (l CompatLevel) forward() bool {
	return slices.Contains([]CompatLevel{LevelForward, LevelForwardTransitive, LevelFull, LevelFullTransitive}, l)
}

func (l CompatLevel) transitive() bool {
	return slices.Contains([]CompatLevel{LevelBackwardTransitive, LevelForwardTransitive, LevelFullTransitive}, l)
}

// CompatPolicy says how much is made of objects that are open.
type CompatPolicy string

// The policies. Strict: what the old schema left open may hold anything, so a new property may meet data that its
// schema refuses. Lenient: nobody writes properties that no schema declares, which is what closed writers promise.
const (
	PolicyStrict  CompatPolicy = "strict"
	PolicyLenient CompatPolicy = "lenient"
)

// CompatPolicies returns both policies.
func CompatPolicies() []CompatPolicy { return []CompatPolicy{PolicyStrict, PolicyLenient} }

// Change is one difference between two schemas.
type Change struct {
	Kind    ChangeKind `json:"kind"`
	Pointer string     `json:"pointer"`       // into the schemas, #/properties/name; "" where it is no schema's place
	Old     any        `json:"old,omitempty"` // decoded JSON, numbers as json.Number; nil = it is not there
	New     any        `json:"new,omitempty"`
}

// Direction says which step a verdict is about.
type Direction string

// The directions. A change found forward is what a reader of the old schema meets: its kind names the step from the new
// schema back to the old one. Of a rule it is the rule of neither.
const (
	DirectionBackward Direction = "backward"
	DirectionForward  Direction = "forward"
	DirectionRule     Direction = "rule"
)

// Finding is the verdict on one change.
type Finding struct {
	Type string `json:"type,omitempty"` // the event type; "" between bare schemas
	Change
	Direction  Direction `json:"direction"`
	Compatible bool      `json:"compatible"`
	Message    string    `json:"message"`       // what the change is, for people
	Hit        []string  `json:"hit,omitempty"` // who cannot go on as before; empty where it is compatible
}

// Verdict is the outcome of a check.
type Verdict struct {
	Compatible bool      `json:"compatible"`
	Changes    []Finding `json:"changes"` // never nil; the compatible ones too
}

func (v *Verdict) add(f Finding) {
	if f.Compatible {
		f.Hit = nil
	}
	v.Changes = append(v.Changes, f)
	v.Compatible = v.Compatible && f.Compatible
}

// CompareSchemas lists what differs from one JSON Schema to another, drafts 4 to 2020-12. Whether it is compatible, for
// readers of the new schema and data of the old, is for each change's kind to say; the policy decides which branches of
// unions may stand for which. The error has the reason spec_invalid: a schema that
// cannot be read.
func CompareSchemas(older, newer []byte, policy CompatPolicy) ([]Change, error) {
	o, n, err := readBoth(older, newer)
	if err != nil {
		return nil, err
	}
	return compareShapes(o, n, compareMode{policy: policy}), nil
}

// CheckSchemas judges a JSON Schema against those before it, the oldest first. Levels that are not transitive look at
// the last of them only.
func CheckSchemas(history [][]byte, newer []byte, level CompatLevel, policy CompatPolicy) (Verdict, error) {
	v := Verdict{Compatible: true, Changes: []Finding{}}
	for i, older := range history {
		if i < len(history)-1 && !level.transitive() {
			continue
		}
		o, n, err := readBoth(older, newer)
		if err != nil {
			return v, err
		}
		for _, f := range judge(o, n, level, policy) {
			v.add(f)
		}
	}
	return v, nil
}

func readBoth(older, newer []byte) (o, n *shape, err error) {
	if o, err = readShape(older); err != nil {
		return nil, nil, invalidSchema("old", err)
	}
	if n, err = readShape(newer); err != nil {
		return nil, nil, invalidSchema("new", err)
	}
	return o, n, nil
}

func invalidSchema(which string, err error) error {
	return autobus.NewError(autobus.ReasonSpecInvalid, "the %s schema cannot be used: %v", which, err).
		WithHint("Write a JSON Schema of draft 4 to 2020-12 that refers to nothing outside itself.").WithCause(err)
}

// judge compares two schemas both ways, as the level asks. What is compatible is told of one direction only: each
// change would else stand there twice.
func judge(o, n *shape, level CompatLevel, policy CompatPolicy) []Finding {
	var out []Finding
	there := compareShapes(o, n, compareMode{policy: policy})
	if level.backward() || !level.forward() {
		for _, c := range there {
			ok := c.Kind.Compatible(policy) || !level.backward()
			out = append(out, Finding{Change: c, Direction: DirectionBackward, Compatible: ok, Message: c.Kind.Title(),
				Hit: []string{"readers of the new schema, by data of the old one"}})
		}
	}
	if !level.forward() {
		return out
	}
	for _, c := range compareShapes(n, o, compareMode{policy: policy, forward: true}) {
		ok := c.Kind.Compatible(policy)
		if ok && level.backward() {
			continue
		}
		c.Old, c.New = c.New, c.Old
		out = append(out, Finding{Change: c, Direction: DirectionForward, Compatible: ok,
			Message: fmt.Sprintf("from new to old: %s", c.Kind.Title()),
			Hit:     []string{"readers of the old schema, by data of the new one"}})
	}
	return out
}
