// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// Entry is a delayed record: Key, Value and Headers of Record are as they were handed in, the rest says where it stands
// now.
type Entry struct {
	ID     string    // names it, in all its hops
	Due    time.Time // whole milliseconds, never before what was asked for
	Since  time.Time // when it was handed in
	Owner  string    // who did
	Record kafka.Record
}

// Headers that a record has while it is kept, beside its own.
const (
	headerPrefix = "autobus-delay"
	headerForm   = headerPrefix // form of the record; without it the record is somebody else's
	headerID     = headerPrefix + "-id"
	headerDue    = headerPrefix + "-due"   // Unix milliseconds
	headerSince  = headerPrefix + "-since" // Unix milliseconds
	headerOwner  = headerPrefix + "-owner"

	form = "1"
)

// RoundDue is the time at which something is due that may not come before t: milliseconds are what is kept.
func RoundDue(t time.Time) time.Time {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return time.UnixMilli(ms).UTC()
}

// record is an entry as the log has it from now on.
func (e Entry) record(now time.Time) kafka.Record {
	headers := make([]kafka.Header, 0, len(e.Record.Headers)+5)
	add := func(key, value string) { headers = append(headers, kafka.Header{Key: key, Value: []byte(value)}) }
	add(headerForm, form)
	add(headerID, e.ID)
	add(headerDue, strconv.FormatInt(e.Due.UnixMilli(), 10))
	add(headerSince, strconv.FormatInt(e.Since.UnixMilli(), 10))
	add(headerOwner, e.Owner)
	return kafka.Record{Time: now, Key: e.Record.Key, Value: e.Record.Value, Headers: append(headers, e.Record.Headers...)}
}

// parse reads a record of the log. ours is false for what somebody else wrote there. An error is for one of a form that
// this build does not know: it must not be guessed at and not be dropped.
func parse(r *kafka.Record) (e Entry, ours bool, err error) {
	e = Entry{Record: *r}
	e.Record.Headers = make([]kafka.Header, 0, len(r.Headers))
	var known bool
	for _, h := range r.Headers {
		value := string(h.Value)
		var n int64
		switch h.Key {
		case headerForm:
			ours, known = true, value == form
		case headerID:
			e.ID = value
		case headerDue, headerSince:
			if n, err = strconv.ParseInt(value, 10, 64); err != nil {
				known = false
			} else if h.Key == headerDue {
				e.Due = time.UnixMilli(n).UTC()
			} else {
				e.Since = time.UnixMilli(n).UTC()
			}
		case headerOwner:
			e.Owner = value
		default:
			if !strings.HasPrefix(h.Key, headerPrefix) {
				e.Record.Headers = append(e.Record.Headers, h)
			}
		}
	}
	switch {
	case !ours:
		return Entry{}, false, nil
	case !known || e.ID == "" || e.Due.IsZero():
		return Entry{}, true, fmt.Errorf("the record at offset %d of partition %d of %s is of a form that this build does "+
			"not know", r.Offset, r.Partition, r.Topic)
	}
	return e, true, nil
}
