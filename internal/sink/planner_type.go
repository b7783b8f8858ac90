// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"math/big"
	"slices"
	"strings"
)

// typeOf decides the type of a column, and whether the values that the spec allows fit it.
func (m *planner) typeOf(typ string, c Column, doc *schemaDoc, open bool) (Type, bool) {
	t, given := Type{}, c.Type != ""
	if given {
		var ok bool
		if t, ok = ParseType(c.Type); !ok {
			var names []string
			for _, k := range Kinds() {
				names = append(names, string(k))
			}
			m.fault(c.Line, "Use one of "+strings.Join(names, ", ")+"; varchar(n) and numeric(p,s) too.",
				"column %s: %q is no type", c.Name, c.Type)
			return Type{}, false
		}
	}
	switch {
	case c.HasValue && !given:
		return Type{Kind: Text}, true
	case c.Meta != "" && !given:
		return metaType(c.Meta), true
	case c.HasValue:
		if _, b := cast(quoteJSON(c.Value), t, c.Unit); b != nil {
			m.fault(c.Line, "Write a value of the type.", "column %s: %s", c.Name, b.Reason)
			return Type{}, false
		}
		return t, true
	case c.Meta != "":
		if have := metaType(c.Meta); !have.Widens(t) && t.Kind != Text && t.Kind != JSONB {
			m.fault(c.Line, "Leave type away, or use "+have.String()+".", "column %s: meta %s is %s, not %s", c.Name, c.Meta,
				have,
				t)
			return Type{}, false
		}
		return t, true
	}
	if doc == nil {
		if !given {
			m.fault(c.Line, "Say type: text, or what it is.", "column %s: no spec says what type %s of %s has", c.Name, c.From,
				typ)
		}
		return t, given
	}
	found, declared := doc.at(c.From)
	if !declared && !open {
		m.neverMatches(c.Line, typ, "column "+c.Name, c.From)
		return Type{}, false
	}
	f := factsOf(found)
	if !given {
		if !declared {
			m.fault(c.Line, "Say type: text, or what it is.", "column %s: the spec of %s does not declare %s", c.Name, typ,
				c.From)
			return Type{}, false
		}
		return f.infer(c.Unit), true
	}
	if why, hint := f.against(t, c.Unit); why != "" {
		m.fault(c.Line, hint, "column %s: %s of %s is %s", c.Name, c.From, typ, why)
		return Type{}, false
	}
	if t.Kind == Timestamptz && c.Unit == "" && f.format != "date-time" {
		m.warn(c.Line, "What is no time of RFC 3339 becomes a bad row.",
			"column %s: the spec of %s does not say that %s is a "+
				"date-time", c.Name, typ, c.From)
	}
	return t, true
}

// infer gives the narrowest type that holds whatever the schema allows.
func (f facts) infer(unit string) Type {
	only := func(types ...string) bool {
		for t := range f.types {
			if !slices.Contains(types, t) {
				return false
			}
		}
		return len(f.types) > 0
	}
	switch {
	case unit != "":
		return Type{Kind: Timestamptz}
	case only("boolean"):
		return Type{Kind: Boolean}
	case only("integer"):
		if (Type{Kind: Integer}).holds(f.low, f.high) {
			return Type{Kind: Integer}
		}
		if f.low != nil && f.high != nil && !(Type{Kind: Bigint}).holds(f.low, f.high) {
			return Type{Kind: Numeric}
		}
		return Type{Kind: Bigint}
	case only("integer", "number"):
		return Type{Kind: Numeric}
	case only("string"):
		switch f.format {
		case "date-time":
			return Type{Kind: Timestamptz}
		case "date":
			return Type{Kind: Date}
		case "uuid":
			return Type{Kind: UUID}
		case "decimal":
			return Type{Kind: Numeric}
		}
		return Type{Kind: Text}
	}
	return Type{Kind: JSONB}
}

// against says why values that the schema allows do not fit a type; "" = they do.
func (f facts) against(t Type, unit string) (why, hint string) {
	allowed := map[Kind][]string{
		Smallint: {"integer", "string"}, Integer: {"integer", "string"}, Bigint: {"integer", "string"},
		Numeric: {"integer", "number", "string"}, Double: {"integer", "number"}, Boolean: {"boolean"},
		Text:    {"string", "integer", "number", "boolean"},
		Varchar: {"string", "integer", "number", "boolean"},
		Date:    {"string"}, UUID: {"string"}, Timestamptz: {"string"},
		JSONB: {"array", "boolean", "integer", "number", "object", "string"},
	}[t.Kind]
	if t.Kind == Timestamptz && unit != "" {
		allowed = []string{"string", "integer", "number"}
	}
	for name := range f.types {
		if !slices.Contains(allowed, name) {
			return f.names() + ", which " + t.String() + " cannot hold", "Use type: " + f.infer(unit).String() + "."
		}
	}
	integers := f.types["integer"] && !f.types["string"]
	if integers && (t.Kind.bits() > 0 || t.Precision > 0) && !t.holds(f.low, f.high) {
		if t.Kind == Bigint && (f.low == nil || f.high == nil) {
			return "", "" // nothing wider is an integer; what does not fit becomes a bad row
		}
		return "an integer " + span(f.low, f.high) + ": " + t.String() + " is too small",
			"Use type: " + f.infer(unit).String() + ", or bound it in the spec."
	}
	if f.types["string"] && t.Length > 0 && f.maxLength > t.Length {
		return "up to " + big.NewInt(int64(f.maxLength)).String() + " characters long: " + t.String() + " is too short",
			"Use type: text."
	}
	if want := map[Kind]string{Date: "date", UUID: "uuid"}[t.Kind]; want != "" && f.types["string"] && f.format != "" &&
		f.format != want {
		return f.names() + ", which is no " + want, "Use type: " + f.infer(unit).String() + "."
	}
	return "", ""
}

func span(low, high *big.Int) string {
	switch {
	case low == nil && high == nil:
		return "without bounds"
	case low == nil:
		return "up to " + high.String()
	case high == nil:
		return "from " + low.String() + " on"
	}
	return "from " + low.String() + " to " + high.String()
}

func metaType(meta string) Type {
	switch meta {
	case "time", "recorded":
		return Type{Kind: Timestamptz}
	case "partition":
		return Type{Kind: Integer}
	case "offset", "epoch":
		return Type{Kind: Bigint}
	case "data":
		return Type{Kind: JSONB}
	}
	return Type{Kind: Text}
}
