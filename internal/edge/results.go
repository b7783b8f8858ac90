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

// AppendNotable appends the member "results" with the results of those events of which more is to be told than where
// they were written, after a comma; nothing where there are none.
func (p *Parcel) AppendNotable(dst []byte, receipts []autobus.Receipt) []byte {
	next := `,"results":[`
	for i := range receipts {
		if rc := &receipts[i]; rc.Status == autobus.Written && rc.Hint == "" && p.items[i] == ownAll {
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
		dst = append(dst, `,"partition":`...)
		dst = strconv.AppendInt(dst, int64(rc.Partition), 10)
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendInt(dst, rc.Offset, 10)
	}
	if rc.Status != autobus.Refused {
		dst = p.items[i].appendFilled(dst, ev, rc.Duplicate)
	}
	if rc.Hint != "" {
		dst = append(dst, `,"hint":`...)
		dst = autobus.AppendString(dst, rc.Hint)
	}
	if rc.Err != nil {
		dst = append(dst, `,"error":`...)
		dst = AppendProblem(dst, rc.Err, RequestID(p.r.Context()))
	}
	return append(dst, '}')
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
