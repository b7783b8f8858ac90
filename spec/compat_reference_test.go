// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/spec"
)

const compatReference = "../docs/reference/compatibility.md"

// TestCompatibilityReference holds docs/reference/compatibility.md to the kinds of change that the code knows.
// go test ./spec -run Reference -update writes it.
func TestCompatibilityReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Generated from spec/compat_kinds.go by go test ./spec -run Reference -update. Do not edit. -->\n")
	b.WriteString(ticked(`
# Compatibility

~autobus spec diff~ compares two versions of a spec, or two bare JSON Schemas (~--json-schema~, drafts 4 to 2020-12),
and gives a verdict on each change: its kind, where it is, the old and the new value, and who cannot go on as before.
It ends with exit status 3 when something breaks.

## Levels

| level | who must get along | with |
|---|---|---|
| ~NONE~ | nobody | |
| ~BACKWARD~ | readers of the new schema, with data of the old one | the last version |
| ~FORWARD~ | readers of the old schema, with data of the new one | the last version |
| ~FULL~ | both | the last version |
| ~BACKWARD_TRANSITIVE~, ~FORWARD_TRANSITIVE~, ~FULL_TRANSITIVE~ | the same | all earlier versions |

A type says its level as ~info.x-compatibility~; without a word it is ~FULL_TRANSITIVE~. A change is judged by what the
version before it said. Backward compares old with new by the kinds below. Forward compares new with old: a change's
kind then names the step back, so a longer ~maxLength~ breaks ~FULL~ as ~MAX_LENGTH_DECREASED~.

## Policies

*Strict*: what a schema leaves open may hold anything, so a new property may meet old data that it refuses. *Lenient*,
the default: properties that no schema declares are not in the data, which is what closed writers promise. Bare schemas
of writers that are not closed want ~--policy strict~.

Under strict, whatever is valid under the old schema is valid under a ~BACKWARD~ new one, with two exceptions that all
registries share: a missing property with a default is taken to be filled in by the reader, and branches of ~oneOf~
are taken not to overlap. ~format~ and ~content...~ keywords count as asserted; ~unevaluated...~ is compared where it
stands, not by what it amounts to.

## Beside Confluent's registry

Kinds, levels and policies are Confluent's, and so are the verdicts, but where a rule of theirs would break the promise
above or refuse what means the same.

What fits there breaks here:

- ~format~, ~contentEncoding~, ~contentMediaType~, ~contains~, ~propertyNames~, ~if~ or ~patternProperties~ become
  tighter, which is not looked at there;
- ~type~ joins keywords that had none beside them: values of other types passed before;
- under strict, a property joins an object that has ~patternProperties~ and does not say ~additionalProperties~, and no
  pattern matches it: anything could stand there;
- a required property that accepts anything joins an open object: it was not there.

What breaks there fits here:

- a property leaves an object that has ~patternProperties~ and does not say ~additionalProperties~, and no pattern
  matches it;
- ~const~ becomes an ~enum~ that has it, ~minimum~ an ~exclusiveMinimum~ that refuses nothing more;
- ~items~, ~additionalProperties~ or ~unevaluatedItems~ come as ~{}~ or ~true~;
- a schema of several parts becomes the only one of ~oneOf~, ~anyOf~ or ~allOf~.

## What is extensible

Where a schema says ~x-extensible: true~ beside ~enum~, ~anyOf~ or ~oneOf~, its readers were told to expect more:
values and branches may be added there without breaking them. The version before the change must have said so.

## Kinds of change between schemas

*Strict* and *lenient* tell whether the kind is compatible backward.

| kind | what changed | strict | lenient |
|---|---|---|---|
`))
	row := func(k spec.KindInfo) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Kind, k.Title, yes(k.Strict), yes(k.Lenient))
	}
	for _, k := range spec.ChangeKinds() {
		if k.Schema {
			row(k)
		}
	}
	b.WriteString(ticked(`
## Rules between versions of a spec

These hold at every level, ~NONE~ too: they are about the topic and the version, not about the schema.

| kind | what changed | allowed |
|---|---|---|
`))
	for _, k := range spec.ChangeKinds() {
		if !k.Schema {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Kind, k.Title, yes(k.Strict))
		}
	}
	b.WriteString(ticked(`
A type is ordered when it has a key and does not say ~x-unordered: true~. What the spec does not say (partitions,
retention) is not compared. A patch version is for what only people notice (titles, descriptions, examples,
annotations), a minor one for every other compatible change; what breaks is a new type, of the next major.
~PROPERTY_REDEFINED~, ~VERSION_RESTORED~ and ~VERSION_REUSED~ need a history: ~autobus spec diff OLDEST OLD NEW~,
~--against~ more than once, or ~--against server~.

## What a push is held against

Everything that was ever in force on the bus, which its control log keeps. Backward, an earlier version counts as long
as events of it may be in the topic: from its replacement on for as long as the topic's retention and the time that a
file takes to roll, for good where the topic is compacted or keeps all. Forward it counts for good, because nobody knows
which readers were built by it; so do the names and versions that it used.

A reader of the new version finds events of those older ones, when it is behind, when it replays, and when parked or
dead letters come back. Each names its schema (~dataschema~, ~GET /v1/types/TYPE/schema?version=...~), but nobody has to
look: that a reader of the new version reads them is what the level promises.

A step back is a push of files that were in force before. Its lower versions are no fault, because they say what they
said then. What it takes away is judged like any other change: a type that came meanwhile and is no
draft goes only by ~--force~.
`))
	want := b.String()
	if *update {
		if err := os.WriteFile(compatReference, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(compatReference)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not up to date; run go test ./spec -run Reference -update", compatReference)
	}
}

// ticked writes the backticks that a raw string cannot hold.
func ticked(s string) string { return strings.ReplaceAll(s, "~", "`") }

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}
