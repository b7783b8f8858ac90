// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// header gives the value of a record's header.
func header(rec *Record, key string) (string, bool) {
	for i := range rec.Headers {
		if rec.Headers[i].Key == key {
			return strings.ToValidUTF8(string(rec.Headers[i].Value), "\uFFFD"), true
		}
	}
	return "", false
}

// meta gives what a column takes from around the data. A record that somebody else wrote, without attributes, has those
// that readers of the bus are told.
func meta(name string, t Type, rec *Record, source *Source) (any, *Bad) {
	text := func(s string) (any, *Bad) {
		if s == "" {
			return nil, nil
		}
		return castText(s, t)
	}
	switch name {
	case "id":
		if id, _ := header(rec, "ce_id"); id != "" && specified(rec) {
			return text(id)
		}
		return text(fmt.Sprintf("%s:%d:%d", rec.Topic, rec.Partition, rec.Offset))
	case "source", "subject":
		s, _ := header(rec, "ce_"+name)
		return text(s)
	case "type":
		return text(source.Type)
	case "time":
		return inRangeOf(eventTime(rec), t)
	case "recorded":
		return inRangeOf(rec.Time.UTC(), t)
	case "key":
		return text(strings.ToValidUTF8(string(rec.Key), "\uFFFD"))
	case "data":
		return cast(rec.Value, Type{Kind: JSONB}, "")
	case "topic":
		return text(rec.Topic)
	case "partition":
		return number(int64(rec.Partition), t)
	case "offset":
		return number(rec.Offset, t)
	case "epoch":
		s, _ := header(rec, "autobus-epoch")
		n, _ := strconv.ParseInt(s, 10, 64)
		return number(n, t)
	}
	ext := strings.TrimPrefix(name, metaExt)
	if strings.HasPrefix(ext, "trace") { // trace context keeps its own names
		s, _ := header(rec, ext)
		return text(s)
	}
	s, _ := header(rec, "ce_"+ext)
	return text(s)
}

func number(n int64, t Type) (any, *Bad) {
	if t.Kind == Text || t.Kind == Varchar {
		return strconv.FormatInt(n, 10), nil
	}
	return n, nil
}

func inRangeOf(t time.Time, typ Type) (any, *Bad) {
	if typ.Kind == Text || typ.Kind == Varchar {
		return t.Format(time.RFC3339Nano), nil
	}
	return inRange(t, t.String())
}

// specified reports whether a record is an event, and not one that somebody else wrote.
func specified(rec *Record) bool {
	for _, key := range []string{"ce_id", "ce_source", "ce_type"} {
		if v, _ := header(rec, key); v == "" {
			return false
		}
	}
	return true
}

// eventTime is when the event happened, in UTC; the record's own time where it does not say.
func eventTime(rec *Record) time.Time {
	s, _ := header(rec, "ce_time")
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
		return t.UTC()
	}
	return rec.Time.UTC()
}
