// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind names a kind of column. The names are PostgreSQL's, which every database that is a target understands or has
// its own word for.
type Kind string

// The kinds.
const (
	Smallint    Kind = "smallint"
	Integer     Kind = "integer"
	Bigint      Kind = "bigint"
	Numeric     Kind = "numeric"
	Double      Kind = "double precision"
	Boolean     Kind = "boolean"
	Text        Kind = "text"
	Varchar     Kind = "varchar"
	Timestamptz Kind = "timestamptz"
	Date        Kind = "date"
	UUID        Kind = "uuid"
	JSONB       Kind = "jsonb"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{Smallint, Integer, Bigint, Numeric, Double, Boolean, Text, Varchar, Timestamptz, Date, UUID, JSONB}
}

// Type is the type of a column.
type Type struct {
	Kind      Kind
	Length    int // of a varchar, in characters; 0 = any
	Precision int // of a numeric, in digits; 0 = any
	Scale     int // digits of it behind the point
}

var typeForm = regexp.MustCompile(`^([a-z][a-z0-9 ]*?)\s*(?:\(\s*(\d{1,4})\s*(?:,\s*(\d{1,4})\s*)?\))?$`)

// ParseType reads a type as it is written in SQL: integer, varchar(40), numeric(12,2). ok is false for one that is not
// known.
func ParseType(s string) (t Type, ok bool) {
	m := typeForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(s)))
	if m == nil {
		return Type{}, false
	}
	switch m[1] {
	case "int", "int4":
		m[1] = string(Integer)
	case "int2":
		m[1] = string(Smallint)
	case "int8":
		m[1] = string(Bigint)
	case "decimal":
		m[1] = string(Numeric)
	case "double", "float8":
		m[1] = string(Double)
	case "bool":
		m[1] = string(Boolean)
	case "timestamp with time zone":
		m[1] = string(Timestamptz)
	case "character varying":
		m[1] = string(Varchar)
	case "json":
		m[1] = string(JSONB)
	}
	t.Kind = Kind(m[1])
	if !slices.Contains(Kinds(), t.Kind) {
		return Type{}, false
	}
	first, _ := strconv.Atoi(m[2])
	second, _ := strconv.Atoi(m[3])
	switch {
	case m[2] == "":
	case t.Kind == Varchar && m[3] == "" && first > 0:
		t.Length = first
	case t.Kind == Numeric && first > 0 && second <= first:
		t.Precision, t.Scale = first, second
	default:
		return Type{}, false
	}
	return t, true
}

// String writes the type as SQL does.
func (t Type) String() string {
	switch {
	case t.Length > 0:
		return fmt.Sprintf("%s(%d)", t.Kind, t.Length)
	case t.Precision > 0:
		return fmt.Sprintf("%s(%d,%d)", t.Kind, t.Precision, t.Scale)
	}
	return string(t.Kind)
}

// bits is how many bits an integer of the kind has beside its sign; 0 = it is none.
func (k Kind) bits() uint {
	switch k {
	case Smallint:
		return 15
	case Integer:
		return 31
	case Bigint:
		return 63
	default:
		return 0
	}
}

// holds reports whether every whole number from low to high, nil = without bound, fits.
func (t Type) holds(low, high *big.Int) bool {
	var limit *big.Int
	switch {
	case t.Kind.bits() > 0:
		limit = new(big.Int).Lsh(big.NewInt(1), t.Kind.bits())
	case t.Kind == Numeric && t.Precision > 0:
		limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision-t.Scale)), nil)
	default:
		return true
	}
	least := new(big.Int).Neg(limit)
	if t.Kind == Numeric {
		least.Add(least, big.NewInt(1))
	}
	return low != nil && high != nil && low.Cmp(least) >= 0 && high.Cmp(limit) < 0
}

// Widens reports whether a column of this type can become one of another type without losing any value that it has.
func (t Type) Widens(to Type) bool {
	switch {
	case t == to:
		return true
	case t.Kind.bits() > 0 && to.Kind.bits() > 0:
		return to.Kind.bits() >= t.Kind.bits()
	case t.Kind.bits() > 0 && to.Kind == Numeric:
		digits := map[Kind]int{Smallint: 5, Integer: 10, Bigint: 19}[t.Kind]
		return to.Precision == 0 || to.Precision-to.Scale >= digits
	case t.Kind == Varchar && (to.Kind == Text || to.Kind == Varchar):
		return to.Length == 0 || t.Length > 0 && to.Length >= t.Length
	case t.Kind == Text:
		return to.Kind == Varchar && to.Length == 0
	case t.Kind == Numeric && to.Kind == Numeric:
		return to.Precision == 0 || t.Precision > 0 && to.Scale >= t.Scale &&
			to.Precision-to.Scale >= t.Precision-t.Scale
	}
	return false
}
