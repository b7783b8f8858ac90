// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// keyOf is what identifies a row, in one text: equal for equal keys, and for no others.
func (p *Plan) keyOf(values []any) (string, *Bad) {
	var b strings.Builder
	for i, k := range p.Key {
		if i > 0 {
			b.WriteByte(',')
		}
		switch v := values[k].(type) {
		case nil:
			return "", bad(stateNull, "the key column %s has no value", p.Columns[k].Name)
		case string:
			if len(p.Key) == 1 {
				b.WriteString(v)
			} else {
				b.WriteString(strconv.Quote(v))
			}
		default:
			fmt.Fprint(&b, v)
		}
	}
	return b.String(), nil
}

// versionOf makes the text by which two events of a key are compared: what the version says, else the event's time;
// then which type comes later in the file, epoch and offset.
func (r *rowReader) versionOf(rec *Record, found [][]byte) (string, *Bad) {
	b := make([]byte, 0, 72)
	if r.version < 0 {
		b = appendSortable(b, eventTime(rec))
	} else {
		raw := found[r.version]
		switch {
		case len(raw) == 0 || raw[0] == 'n':
			return "", bad(stateNull, "the version is missing")
		case raw[0] == '"':
			v, wrong := castTime(unquote(raw[1:len(raw)-1]), true, "")
			if wrong != nil {
				return "", wrong
			}
			b = appendSortable(b, v.(time.Time))
		default:
			v, wrong := castInteger(string(raw), Type{Kind: Bigint})
			if wrong != nil {
				return "", wrong
			}
			i := v.(int64)
			if i < 0 {
				b = append(b, '-')
				i -= math.MinInt64 // a minus sorts before every digit, and what is less before what is more
			}
			b = appendPadded(b, i, 19)
		}
	}
	epoch, _ := header(rec, "autobus-epoch")
	n, _ := strconv.ParseInt(epoch, 10, 64)
	b = appendPadded(append(b, '/'), int64(r.rank), 3)
	b = appendPadded(append(b, '/'), max(n, 0), 10)
	b = appendPadded(append(b, '/'), rec.Offset, 19)
	return string(b), nil
}

func appendSortable(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000000Z")
}

// appendPadded writes a number that is not negative with zeros before it, to a width of up to 19 digits.
func appendPadded(b []byte, n int64, width int) []byte {
	digits := strconv.AppendInt(make([]byte, 0, 19), n, 10)
	b = append(b, "0000000000000000000"[:max(0, width-len(digits))]...)
	return append(b, digits...)
}
