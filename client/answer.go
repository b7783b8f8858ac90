// SPDX-License-Identifier: Apache-2.0

package client

import (
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

// find gives the shipment that a frame answers; nil = none.
func (q *courier) find(n *conn, seq *int64) *shipment {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.line == nil || q.line.conn != n || seq == nil {
		return nil
	}
	return q.line.flying[*seq]
}

// answered settles a shipment by the receipts of the gateway. Called by the connection's reader, like refused and lost,
// so that a shipment is answered once.
func (q *courier) answered(n *conn, f *incoming) error {
	s := q.find(n, f.Seq)
	if s == nil {
		return nil
	}
	receipts, plain := make([]autobus.Receipt, s.events), true
	if err := wire.ReadReceipts(f.body, s.events, func(i int, r autobus.Receipt) {
		receipts[i] = r
		plain = plain && r.Status == autobus.Written
	}); err != nil {
		return err
	}
	told := explain(receipts, f.Results)

	q.mu.Lock()
	s.line.land(s)
	if !plain {
		q.judge(s, receipts)
	}
	parts := s.indexed(receipts)
	q.putAside(s, receipts)
	q.turn()
	q.wake()
	q.mu.Unlock()

	for i, r := range receipts {
		p := parts[i]
		if p.parcel == nil || r.Status == autobus.Pending {
			continue
		}
		e := &p.parcel.batch.Events[p.index]
		had := e.Time
		if t := told[i]; t != nil {
			fill(e, t.Source, t.Time)
		}
		if r.Status == autobus.Written {
			fill(e, f.Source, f.Time)
		}
		if r.Duplicate {
			e.Time = had // the first copy's, which is not known
		}
		q.resolve(p.parcel, p.index, r)
	}
	return nil
}

// fill sets what the bus filled in.
func fill(e *autobus.Event, source string, at time.Time) {
	if e.Source == "" {
		e.Source = source
	}
	if e.Time.IsZero() {
		e.Time = at
	}
}

// explain puts what the gateway says in words to the receipts, and gives it by index.
func explain(receipts []autobus.Receipt, results []result) map[int]*result {
	var told map[int]*result
	if len(results) > 0 {
		told = make(map[int]*result, len(results))
	}
	for k := range results {
		t := &results[k]
		if t.Index < 0 || t.Index >= len(receipts) {
			continue
		}
		told[t.Index] = t
		r := &receipts[t.Index]
		r.Hint, r.Responders = t.Hint, t.Responders
		if r.Status == autobus.Written && t.Scheduled != nil {
			r.Scheduled = t.Scheduled
		}
		if r.Status != autobus.Written {
			r.Err = t.Error.err()
		}
	}
	for i := range receipts {
		switch r := &receipts[i]; {
		case r.Status == autobus.Written || r.Err != nil:
		case r.Status == autobus.Unknown:
			r.Err = autobus.NewError(autobus.ReasonOutcomeUnknown, "the gateway does not know the outcome")
		default:
			r.Err = (*problem)(nil).err()
		}
	}
	return told
}

// judge looks at what was not written: what is to be sent again becomes Pending, the rest holds back what follows.
func (q *courier) judge(s *shipment, receipts []autobus.Receipt) {
	soon := time.Now().Add(time.Second)
	at := 0
	for _, part := range s.parts {
		own := map[string]bool{}                         // types of which an event of this batch failed for now
		doubt := part.parcel != nil && part.parcel.doubt // of earlier attempts, not of this one
		for k := range part.n {
			r := &receipts[at+k]
			if part.parcel == nil || r.Status == autobus.Written {
				continue
			}
			i := part.parcel.at(k)
			typ := part.parcel.batch.Events[i].Type
			alone := part.parcel.lane == nil && s.mode == autobus.Independent
			switch {
			case r.Status == autobus.Unknown && alone && part.parcel.due.After(soon):
				part.parcel.doubt = true
				*r = autobus.Receipt{}
			case r.Err.Reason == autobus.ReasonPredecessorFailed && alone && !own[typ] && len(s.parts) > 1:
				*r = autobus.Receipt{} // it waits for another batch's event, of which its owner knows nothing
			default:
				own[typ] = own[typ] || r.Err.Retriable()
				part.parcel.lane.failed(part.parcel.batch, i, *r, s.line)
				*r = uncertain(*r, doubt)
			}
		}
		at += part.n
	}
}

// uncertain is an outcome of an event that an earlier attempt may have written: that this one wrote nothing does not
// say that it is not there.
func uncertain(r autobus.Receipt, doubt bool) autobus.Receipt {
	if !doubt || r.Status != autobus.Refused {
		return r
	}
	return autobus.Receipt{Status: autobus.Unknown, Err: autobus.NewError(autobus.ReasonOutcomeUnknown,
		"the gateway did not answer at first and then refused the event, which may have been written before: %s",
		r.Err.Detail).WithCause(r.Err)}
}

// place is whose event stands where in a shipment.
type place struct {
	parcel *parcel // nil = it was given up
	index  int     // in the batch
}

func (s *shipment) indexed(receipts []autobus.Receipt) []place {
	places := make([]place, 0, len(receipts))
	for _, part := range s.parts {
		for k := range part.n {
			at := place{parcel: part.parcel}
			if at.parcel != nil {
				at.index = part.parcel.at(k)
			}
			places = append(places, at)
		}
	}
	return places
}

// putAside keeps of each batch what is to be sent again, by the next sweep.
func (q *courier) putAside(s *shipment, receipts []autobus.Receipt) {
	at := 0
	for _, part := range s.parts {
		var again []int
		for k := range part.n {
			if part.parcel != nil && receipts[at+k].Status == autobus.Pending {
				again = append(again, part.parcel.at(k))
			}
		}
		at += part.n
		if len(again) > 0 {
			part.parcel.todo = again
			q.aside = append(q.aside, part.parcel)
		}
	}
}

// refused takes the refusal of a whole frame, of which nothing was looked at. False: it is of no frame of events.
func (q *courier) refused(n *conn, seq int64, why *autobus.Error) bool {
	s := q.find(n, &seq)
	if s == nil {
		return false
	}
	var out []outcome
	down := why.Reason == autobus.ReasonShuttingDown
	q.mu.Lock()
	s.line.land(s)
	s.line.stopped = s.line.stopped || down
	r := autobus.Receipt{Status: autobus.Refused, Err: why}
	for _, part := range s.parts {
		switch p := part.parcel; {
		case p == nil:
		case down:
			q.putBack(p) // another gateway takes it
		default:
			for k := range part.n {
				p.lane.failed(p.batch, p.at(k), r, nil)
				out = append(out, outcome{p, p.at(k), uncertain(r, p.doubt)})
			}
		}
	}
	q.turn()
	q.wake()
	q.mu.Unlock()
	if down {
		n.drain(time.Now().Add(leaveTime))
	}
	q.settle(out)
	return true
}
