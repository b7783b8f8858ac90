// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
)

// AppendResults appends the JSON array of all results.
func (p *Parcel) AppendResults(dst []byte, receipts []autobus.Receipt) []byte {
	dst = append(dst, '[')
	for i := range receipts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.AppendResult(dst, i, receipts[i])
	}
	return append(dst, ']')
}

// AppendNotable appends, each after a comma, the members "source" and "time" with what the bus filled into all events
// alike, and "results" with the results of those of which more is to be told than that and where they were written;
// nothing where there is none of it.
func (p *Parcel) AppendNotable(dst []byte, receipts []autobus.Receipt) []byte {
	var common autobus.Event
	dst = p.appendCommon(dst, receipts, &common)
	next := `,"results":[`
	for i := range receipts {
		if p.plain(i, &receipts[i], &common) {
			continue
		}
		dst = p.AppendResult(append(dst, next...), i, receipts[i])
		next = ","
	}
	if next == "," {
		dst = append(dst, ']')
	}
	return dst
}

// appendCommon finds the source and the time that the bus fills in, which it does once for a batch.
func (p *Parcel) appendCommon(dst []byte, receipts []autobus.Receipt, common *autobus.Event) []byte {
	var filled item
	for i := range receipts {
		rc := &receipts[i]
		if lacks := ^p.items[i] &^ filled; rc.Status != autobus.Written || lacks&(ownSource|ownTime) == 0 {
			continue
		}
		ev := p.event(i)
		if p.items[i]&ownSource == 0 {
			common.Source = ev.Source
			filled |= ownSource
		}
		if p.items[i]&ownTime == 0 && !rc.Duplicate {
			common.Time = ev.Time
			filled |= ownTime
		}
		if filled == ownSource|ownTime {
			break
		}
	}
	return (filled ^ (ownSource | ownTime)).appendFilled(dst, common, false)
}

// plain reports whether nothing is to be told of an event but where it was written and what the bus filled into all.
func (p *Parcel) plain(i int, rc *autobus.Receipt, common *autobus.Event) bool {
	own := p.items[i]
	switch {
	case rc.Status != autobus.Written, rc.Scheduled != nil, rc.Hint != "", len(rc.Responders) > 0, own&ownID == 0:
		return false
	case own == ownAll:
		return true
	}
	ev := p.event(i)
	return (own&ownSource != 0 || ev.Source == common.Source) &&
		(own&ownTime != 0 || rc.Duplicate || ev.Time.Equal(common.Time))
}

// event gives what is known of item i: of one that was not looked at the id alone.
func (p *Parcel) event(i int) *autobus.Event {
	at, found := slices.BinarySearchFunc(p.refused, i, func(r refusal, i int) int { return cmp.Compare(r.index, i) })
	if found {
		return &autobus.Event{ID: p.refused[at].id}
	}
	return &p.batch.Events[i-at]
}

// AppendResult appends the result of item i as the wire protocol lays it out.
func (p *Parcel) AppendResult(dst []byte, i int, rc autobus.Receipt) []byte {
	ev := p.event(i)
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(p.first+i), 10)
	if ev.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = autobus.AppendString(dst, ev.ID)
	}
	dst = append(dst, `,"status":"`...)
	dst = append(dst, rc.Status.String()...)
	dst = append(dst, '"')
	if rc.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	if rc.Status == autobus.Written {
		dst = append(dst, `,"type":`...)
		dst = autobus.AppendString(dst, ev.Type)
		dst = appendPlace(dst, &rc)
	}
	if rc.Status != autobus.Refused {
		dst = p.items[i].appendFilled(dst, ev, rc.Duplicate)
	}
	if rc.Hint != "" {
		dst = append(dst, `,"hint":`...)
		dst = autobus.AppendString(dst, rc.Hint)
	}
	for i, name := range rc.Responders {
		if i == 0 {
			dst = append(dst, `,"responders":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = autobus.AppendString(dst, name)
	}
	if len(rc.Responders) > 0 {
		dst = append(dst, ']')
	}
	if rc.Err != nil {
		dst = append(dst, `,"error":`...)
		dst = AppendProblem(dst, rc.Err, RequestID(p.r.Context()))
	}
	return append(dst, '}')
}

// appendPlace tells where an event was written, or when it will be.
func appendPlace(dst []byte, rc *autobus.Receipt) []byte {
	if s := rc.Scheduled; s != nil {
		dst = append(dst, `,"scheduled":{"id":`...)
		dst = autobus.AppendString(dst, s.ID)
		dst = append(dst, `,"at":"`...)
		dst = s.At.AppendFormat(dst, time.RFC3339Nano)
		return append(dst, `"}`...)
	}
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(rc.Partition), 10)
	dst = append(dst, `,"offset":`...)
	return strconv.AppendInt(dst, rc.Offset, 10)
}

// appendFilled tells what the bus filled in; the id stands in every result anyway. The time of a duplicate is that of
// the first copy, which is not known here.
func (it item) appendFilled(dst []byte, ev *autobus.Event, duplicate bool) []byte {
	if it&ownSource == 0 && ev.Source != "" {
		dst = append(dst, `,"source":`...)
		dst = autobus.AppendString(dst, ev.Source)
	}
	if it&ownTime == 0 && !duplicate && !ev.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = ev.Time.AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	return dst
}
