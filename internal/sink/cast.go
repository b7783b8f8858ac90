// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bad says why a row cannot be written: an SQLSTATE and a sentence. Those found here are the ones that a database would
// have given.
type Bad struct {
	State  string
	Reason string
}

// SQLSTATEs of values.
const (
	stateTruncated = "22001" // string_data_right_truncation
	stateRange     = "22003" // numeric_value_out_of_range
	stateDateForm  = "22007" // invalid_datetime_format
	stateDateRange = "22008" // datetime_field_overflow
	stateCharacter = "22021" // character_not_in_repertoire
	stateJSON      = "22032" // invalid_json_text
	stateText      = "22P02" // invalid_text_representation
	stateUnicode   = "22P05" // untranslatable_character
	stateNull      = "23502" // not_null_violation
)

func bad(state, format string, args ...any) *Bad {
	return &Bad{State: state, Reason: fmt.Sprintf(format, args...)}
}

// Decimal is a decimal number as text, which no binary form would keep.
type Decimal string

// cast makes of a raw JSON value what a column holds: nil, int64, float64, bool, string, Decimal, time.Time or
// json.RawMessage. What would be changed on the way, such as by rounding, is bad.
func cast(raw []byte, t Type, unit string) (any, *Bad) {
	if len(raw) == 0 || raw[0] == 'n' {
		return nil, nil
	}
	if !utf8.Valid(raw) { // the bus takes no such data, but others may write to a topic
		return nil, bad(stateCharacter, "the value is not UTF-8")
	}
	if t.Kind == JSONB {
		if hasNUL(raw) {
			return nil, bad(stateUnicode, "U+0000 cannot be stored")
		}
		return json.RawMessage(raw), nil
	}
	if raw[0] == '{' || raw[0] == '[' {
		return nil, bad(stateText, "%s is no %s", shorten(raw), t)
	}
	text := string(raw)
	quoted := raw[0] == '"'
	if quoted {
		text = unquote(raw[1 : len(raw)-1])
	}
	switch t.Kind {
	case JSONB: // above
	case Text, Varchar:
		return castText(text, t)
	case Boolean:
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
	case Smallint, Integer, Bigint:
		return castInteger(text, t)
	case Numeric:
		return castNumeric(text, t)
	case Double:
		f, err := strconv.ParseFloat(text, 64)
		switch {
		case !isNumber(text):
		case err != nil:
			return nil, bad(stateRange, "%s is out of range for double precision", shorten([]byte(text)))
		default:
			return f, nil
		}
	case Timestamptz:
		return castTime(text, quoted, unit)
	case Date:
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return nil, bad(stateDateForm, "%s is no date", shorten(raw))
		}
		if _, b := inRange(d, text); b != nil {
			return nil, b
		}
		return text, nil
	case UUID:
		if uuidForm.MatchString(text) {
			return strings.ToLower(text), nil
		}
	}
	return nil, bad(stateText, "%s is no %s", shorten(raw), t)
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// isNumber reports whether a text has the form of a JSON number (RFC 8259, section 6).
func isNumber(text string) bool {
	digits := func() bool {
		rest := strings.TrimLeft(text, "0123456789")
		some := len(rest) < len(text)
		text = rest
		return some
	}
	text = strings.TrimPrefix(text, "-")
	if strings.HasPrefix(text, "0") {
		text = text[1:]
	} else if !digits() {
		return false
	}
	if strings.HasPrefix(text, ".") {
		if text = text[1:]; !digits() {
			return false
		}
	}
	if text != "" && (text[0] == 'e' || text[0] == 'E') {
		if text = text[1:]; text != "" && (text[0] == '+' || text[0] == '-') {
			text = text[1:]
		}
		if !digits() {
			return false
		}
	}
	return text == ""
}

func castText(text string, t Type) (any, *Bad) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, bad(stateCharacter, "U+0000 cannot be stored")
	}
	if t.Length > 0 && len(text) > t.Length && utf8.RuneCountInString(text) > t.Length {
		return nil, bad(stateTruncated, "a text of %d characters is too long for %s", utf8.RuneCountInString(text), t)
	}
	return text, nil
}

func castInteger(text string, t Type) (any, *Bad) {
	if n, err := strconv.ParseInt(text, 10, int(t.Kind.bits())+1); err == nil && text[0] != '+' {
		return n, nil
	}
	if !isNumber(text) {
		return nil, bad(stateText, "%q is no %s", shorten([]byte(text)), t)
	}
	r, ok := rational(text)
	if !ok || !r.IsInt() {
		return nil, bad(stateText, "%s is no whole number", shorten([]byte(text)))
	}
	if !t.holds(r.Num(), r.Num()) {
		return nil, bad(stateRange, "%s is out of range for %s", shorten([]byte(text)), t)
	}
	return r.Num().Int64(), nil
}

func castNumeric(text string, t Type) (any, *Bad) {
	if !isNumber(text) { // NaN and Infinity too, which some databases would take
		return nil, bad(stateText, "%q is no number", shorten([]byte(text)))
	}
	if t.Precision == 0 {
		return Decimal(text), nil
	}
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if strings.ContainsAny(text, "eE") || len(whole) > t.Precision-t.Scale || len(fraction) > t.Scale {
		r, ok := rational(text)
		if !ok {
			return nil, bad(stateRange, "%s is out of range for %s", shorten([]byte(text)), t)
		}
		scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Scale)), nil)))
		limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision)), nil)
		switch {
		case !scaled.IsInt():
			return nil, bad(stateRange, "%s has more than %d digits behind the point, which %s would round",
				shorten([]byte(text)),
				t.Scale, t)
		case scaled.Num().CmpAbs(limit) >= 0:
			return nil, bad(stateRange, "%s is out of range for %s", shorten([]byte(text)), t)
		}
		return Decimal(r.FloatString(t.Scale)), nil
	}
	return Decimal(text), nil
}

// rational reads a number unless its exponent would make it enormous.
func rational(text string) (*big.Rat, bool) {
	if _, e, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		if n, err := strconv.Atoi(e); err != nil || n > 999 || n < -999 {
			return nil, false
		}
	}
	return new(big.Rat).SetString(text)
}

func castTime(text string, quoted bool, unit string) (any, *Bad) {
	if unit != "" && (!quoted || isNumber(text)) {
		r, ok := rational(text)
		if !ok {
			return nil, bad(stateDateForm, "%s is no time", shorten([]byte(text)))
		}
		per := int64(time.Second / time.Microsecond)
		if unit == "ms" {
			per = 1000
		}
		micros := new(big.Rat).Mul(r, new(big.Rat).SetInt64(per))
		whole := new(big.Int).Quo(micros.Num(), micros.Denom())
		if !whole.IsInt64() {
			return nil, bad(stateDateRange, "%s is out of range for a time", shorten([]byte(text)))
		}
		return inRange(time.UnixMicro(whole.Int64()).UTC(), text)
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
	if err != nil || !quoted {
		return nil, bad(stateDateForm, "%q is no time of RFC 3339", shorten([]byte(text)))
	}
	return inRange(t.UTC(), text)
}

// inRange keeps to the years that every database and every reader has.
func inRange(t time.Time, text string) (any, *Bad) {
	if t.Year() < 1 || t.Year() > 9999 {
		return nil, bad(stateDateRange, "%q is out of the years 1 to 9999", shorten([]byte(text)))
	}
	return t, nil
}

// hasNUL finds the escape of U+0000 in JSON.
func hasNUL(raw []byte) bool {
	for {
		i := bytes.Index(raw, []byte(`\u0000`))
		if i < 0 {
			return false
		}
		slashes := 0
		for j := i; j >= 0 && raw[j] == '\\'; j-- {
			slashes++
		}
		if slashes%2 == 1 {
			return true
		}
		raw = raw[i+1:]
	}
}

func shorten(raw []byte) string {
	const most = 60
	if len(raw) <= most {
		return strings.ToValidUTF8(string(raw), "\uFFFD")
	}
	return strings.ToValidUTF8(string(raw[:most]), "\uFFFD") + "..."
}
