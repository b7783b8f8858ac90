// SPDX-License-Identifier: Apache-2.0

package spec

import "strings"

// ChangeKind names a way in which two schemas or specs differ. The names are those of schema registries where they
// have one.
type ChangeKind string

// kindInfo is what is known of a kind: what it means, and whether a reader of the new schema still reads the old data.
type kindInfo struct {
	kind    ChangeKind
	strict  bool
	lenient bool
	title   string
	rule    bool // between specs, not schemas
}

// Compatible reports whether readers of the new schema read data of the old one in spite of such a change.
func (k ChangeKind) Compatible(policy CompatPolicy) bool {
	info := k.info()
	if policy == PolicyLenient {
		return info.lenient
	}
	return info.strict
}

// Title says the change in words.
func (k ChangeKind) Title() string { return k.info().title }

func (k ChangeKind) info() kindInfo {
	if i, ok := kindIndex[k]; ok {
		return kinds[i]
	}
	title := strings.ToLower(strings.ReplaceAll(string(k), "_", " "))
	return kindInfo{kind: k, title: title} // nothing is known to be safe
}

var kindIndex = func() map[ChangeKind]int {
	index := make(map[ChangeKind]int, len(kinds))
	for i, k := range kinds {
		index[k.kind] = i
	}
	return index
}()

const (
	never     = iota // compatible under no policy
	tolerated        // under the lenient one
	always
)

func row(name ChangeKind, when int, title string) kindInfo {
	return kindInfo{kind: name, strict: when == always, lenient: when >= tolerated, title: title}
}

// limits are the four kinds of a keyword that bounds a value. Loosening is harmless: removing it, and moving it in one
// of both senses.
func limits(prefix ChangeKind, keyword string, upper bool) []kindInfo {
	up, down := never, always
	if upper {
		up, down = always, never
	}
	return []kindInfo{
		row(prefix+"_ADDED", never, keyword+" was added"), row(prefix+"_REMOVED", always, keyword+" was removed"),
		row(prefix+"_INCREASED", up, keyword+" grew"), row(prefix+"_DECREASED", down, keyword+" shrank"),
	}
}

// asserted are the three kinds of a keyword that either holds or does not.
func asserted(prefix ChangeKind, keyword string) []kindInfo {
	return []kindInfo{row(prefix+"_ADDED", never, keyword+" was added"),
		row(prefix+"_REMOVED", always, keyword+" was removed"), row(prefix+"_CHANGED", never, keyword+" changed")}
}

// rest are the four kinds of what an object or array may hold beside what it names.
func rest(prefix ChangeKind, keyword string, narrower int) []kindInfo {
	return []kindInfo{
		row(prefix+"_ADDED", always, keyword+" was false and is no longer"),
		row(prefix+"_REMOVED", narrower, keyword+" became false"),
		row(prefix+"_EXTENDED", always, keyword+" accepts more"), row(prefix+"_NARROWED", narrower, keyword+" accepts less"),
	}
}

// KindInfo describes a kind of change.
type KindInfo struct {
	Kind    ChangeKind
	Title   string // what changed, in words
	Schema  bool   // between schemas; else between specs of a type
	Strict  bool   // data of the old schema is still valid under the new one
	Lenient bool   // it is for those who write only what schemas declare
}

// ChangeKinds describes all kinds, those between schemas first.
func ChangeKinds() []KindInfo {
	var out []KindInfo
	for _, k := range kinds {
		out = append(out, KindInfo{k.kind, k.title, !k.rule, k.strict, k.lenient})
	}
	return out
}
