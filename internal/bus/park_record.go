// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// park is the topic of a subscription's parked events.
func park(subscription string) string { return "park." + subscription }

// Headers of the records of a park log. A copy has the headers of its event as well.
const (
	parkPrefix  = "autobus-park"
	parkKind    = parkPrefix           // one of the kinds below; a record without it is somebody else's
	parkKey     = parkPrefix + "-key"  // of the event; absent = it has none
	parkNull    = parkPrefix + "-null" // the event's value is null, which here would end it
	parkTime    = parkPrefix + "-time" // the record's timestamp, Unix milliseconds like the next ones
	parkAttempt = parkPrefix + "-attempt"
	parkDue     = parkPrefix + "-due"   // not to be delivered before; absent = at once
	parkFirst   = parkPrefix + "-first" // first delivery; absent = there was none
	parkSpent   = parkPrefix + "-spent" // attempts before it was redriven; absent = 0
	parkHeld    = parkPrefix + "-held"  // it waits for an operator, since the subscription's record at this offset
	parkReason  = parkPrefix + "-reason"
)

const (
	kindClaim = "claim" // from here on the source belongs to this incarnation
	kindCopy  = "copy"  // the event lives here
	kindDone  = "done"  // the event reached its end
	kindVoid  = "void"  // the copy never counted, or a later one counts: for compaction
)

// source names a partition whose events are parked, for one seek epoch of the subscription: those of another one, or of
// a deleted subscription of the same name, do not count.
type source struct {
	kafka.TP
	epoch uint32
}

// fact is a record of the park log.
type fact struct {
	kind   string
	source source
	copyID // that it is about

	at      int64 // of the record itself; the rest is a copy's alone
	key     []byte
	size    int
	attempt int // of the delivery to come
	spent   int
	due     time.Time
	first   time.Time
	held    int64
	reason  string // why it is held
}

// copyID names a copy, or a claim. No two are the same, so that compaction drops only what was ended: else a copy of an
// owner that was expelled could take the place of one that counts.
type copyID struct {
	by     uint32 // incarnation that wrote it
	offset int64  // of the event in its source; ofClaim of a claim
	n      int64  // counts the copies of an event that an incarnation wrote
	letter int64  // one past the number of the dead letter that the event was redriven from; 0 = of none
}

const ofClaim = -1

// recordKey is what compaction goes by: a done or void is the tombstone of its copy.
func (f fact) recordKey() []byte {
	k := fmt.Sprintf("%s/%d/%d/%d", f.source.Topic, f.source.Partition, f.source.epoch, f.by)
	if f.offset != ofClaim {
		k += fmt.Sprintf("/%d/%d", f.offset, f.n)
	}
	if f.letter != 0 {
		k += fmt.Sprintf("/%d", f.letter)
	}
	return []byte(k)
}

func (f fact) headers() []kafka.Header {
	hs := []kafka.Header{{Key: parkKind, Value: []byte(f.kind)}}
	add := func(key string, n int64) {
		hs = append(hs, kafka.Header{Key: key, Value: strconv.AppendInt(nil, n, 10)})
	}
	if f.kind != kindCopy {
		return hs
	}
	if f.key != nil {
		hs = append(hs, kafka.Header{Key: parkKey, Value: f.key})
	}
	add(parkAttempt, int64(f.attempt))
	if f.spent > 0 {
		add(parkSpent, int64(f.spent))
	}
	if !f.due.IsZero() {
		add(parkDue, f.due.UnixMilli()+1) // cut off, it would be early
	}
	if !f.first.IsZero() {
		add(parkFirst, f.first.UnixMilli())
	}
	if f.held != 0 {
		add(parkHeld, f.held)
		hs = append(hs, kafka.Header{Key: parkReason, Value: []byte(clipFailure(f.reason))})
	}
	return hs
}

// claimRecord says that a source belongs to an incarnation from here on.
func claimRecord(s source, by uint32) kafka.Record {
	f := fact{kind: kindClaim, source: s, copyID: copyID{by: by, offset: ofClaim}}
	return kafka.Record{Time: time.Now(), Key: f.recordKey(), Value: []byte{}, Headers: f.headers()}
}

// endRecord ends a copy, as kindDone or kindVoid.
func endRecord(kind string, s source, of copyID) kafka.Record {
	f := fact{kind: kind, source: s, copyID: of}
	return kafka.Record{Time: time.Now(), Key: f.recordKey(), Headers: f.headers()}
}

// copyOf is the event of a slot as it was read, and what is known of it.
func copyOf(s source, of copyID, sl *slot) kafka.Record {
	f := fact{kind: kindCopy, source: s, copyID: of, key: sl.record.Key, attempt: sl.attempt, spent: sl.spent,
		due: sl.copy.due, first: sl.first, held: sl.held, reason: sl.failure}
	return f.copyRecord(&sl.record)
}

func (f fact) copyRecord(r *kafka.Record) kafka.Record {
	out := kafka.Record{Time: time.Now(), Key: f.recordKey(), Value: r.Value, Headers: f.headers()}
	out.Headers = append(out.Headers, kafka.Header{Key: parkTime, Value: strconv.AppendInt(nil, r.Time.UnixMilli(), 10)})
	if r.Value == nil {
		out.Value = []byte{}
		out.Headers = append(out.Headers, kafka.Header{Key: parkNull})
	}
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Key, parkPrefix) {
			out.Headers = append(out.Headers, h)
		}
	}
	return out
}

// parkable reports whether a record, which somebody may have written who may write more than the bus takes, fits into
// the park log.
func parkable(r *kafka.Record) bool {
	return len(r.Key)+r.Size() <= autobus.MaxEventBytes+autobus.InternalTopicExtra/2
}

// parseFact reads a record of the park log; ok is false for what somebody else wrote there. A kind that this build does
// not know is an error: what it means must not be guessed at.
func parseFact(r *kafka.Record) (f fact, ok bool, err error) {
	for _, h := range r.Headers {
		switch h.Key {
		case parkKind:
			f.kind = string(h.Value)
		case parkKey:
			f.key = append([]byte{}, h.Value...) // not nil: an empty key is a key
		case parkAttempt:
			f.attempt, _ = strconv.Atoi(string(h.Value))
		case parkSpent:
			f.spent, _ = strconv.Atoi(string(h.Value))
		case parkDue:
			f.due = millis(h.Value)
		case parkFirst:
			f.first = millis(h.Value)
		case parkHeld:
			f.held, _ = strconv.ParseInt(string(h.Value), 10, 64)
		case parkReason:
			f.reason = string(h.Value)
		}
	}
	parts := strings.Split(string(r.Key), "/")
	switch {
	case f.kind == "":
		return f, false, nil
	case len(parts) == 4 && (f.kind == kindClaim || f.kind == kindVoid):
		parts = append(parts, strconv.Itoa(ofClaim), "0", "0")
	case len(parts) == 6 && slices.Contains([]string{kindCopy, kindDone, kindVoid}, f.kind):
		parts = append(parts, "0")
	case len(parts) == 7 && slices.Contains([]string{kindCopy, kindDone, kindVoid}, f.kind):
	default:
		return f, false, fmt.Errorf("offset %d of %s/%d is a %q, which this build does not know", r.Offset, r.Topic,
			r.Partition, f.kind)
	}
	var n [6]int64
	for i := range n {
		if n[i], err = strconv.ParseInt(parts[i+1], 10, 64); err != nil {
			return f, false, fmt.Errorf("key %q at offset %d of %s/%d: %w", r.Key, r.Offset, r.Topic, r.Partition, err)
		}
	}
	f.source = source{kafka.TP{Topic: parts[0], Partition: int32(n[0])}, uint32(n[1])}
	f.copyID, f.at, f.size = copyID{uint32(n[2]), n[3], n[4], n[5]}, r.Offset, r.Size()
	f.attempt = max(1, f.attempt)
	return f, true, nil
}

func millis(b []byte) time.Time {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// original gives back the record that a copy was made of.
func original(s source, offset int64, r *kafka.Record) kafka.Record {
	out := kafka.Record{TP: s.TP, Offset: offset, Time: r.Time, Value: r.Value}
	for _, h := range r.Headers {
		switch h.Key {
		case parkKey:
			out.Key = h.Value
			if out.Key == nil {
				out.Key = []byte{}
			}
		case parkNull:
			out.Value = nil
		case parkTime:
			out.Time = millis(h.Value)
		}
		if !strings.HasPrefix(h.Key, parkPrefix) {
			out.Headers = append(out.Headers, h)
		}
	}
	if out.Value == nil && !slices.ContainsFunc(r.Headers, func(h kafka.Header) bool { return h.Key == parkNull }) {
		out.Value = []byte{}
	}
	return out
}
