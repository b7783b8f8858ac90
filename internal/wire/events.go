// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// Events is the header of a frame of deliveries: of one partition, and with a lease all of one handing out.
type Events struct {
	Op           string `json:"op"` // events
	Subscription string `json:"subscription,omitempty"`
	Seq          *int64 `json:"seq,omitempty"` // of a tail
	Shared
	Partition   int32         `json:"partition"`
	BaseOffset  int64         `json:"base_offset"`
	Lease       autobus.Lease `json:"lease,omitempty"` // of the frame; its At makes those of its records
	Fence       uint64        `json:"fence,omitempty"`
	Deadline    time.Time     `json:"deadline,omitzero"`
	Attempts    map[int]int   `json:"attempts,omitempty"`    // index of a record -> its attempt, where that is not 1
	Unspecified []int         `json:"unspecified,omitempty"` // indexes of records that somebody else wrote
}

// Frames hands out deliveries as those of one frame each: of one type, partition and lease, of about size bytes. What
// is of one type and partition keeps its order.
func Frames(ds []autobus.Delivery, size int, yield func(ds []*autobus.Delivery) error) error {
	rest := make([]*autobus.Delivery, len(ds))
	for i := range ds {
		rest[i] = &ds[i]
	}
	var part []*autobus.Delivery
	for len(rest) > 0 {
		first, bytes, full := rest[0], 0, false
		lease, _, _ := first.Lease.Cut()
		later := rest[:0]
		part = part[:0]
		for _, d := range rest {
			if d.Partition != first.Partition || d.Type != first.Type {
				later = append(later, d)
				continue
			}
			l, _, _ := d.Lease.Cut()
			full = full || l != lease || len(part) > 0 && bytes+d.Size() > size
			if full {
				later = append(later, d)
				continue
			}
			part = append(part, d)
			bytes += d.Size()
		}
		rest = later
		if err := yield(part); err != nil {
			return err
		}
	}
	return nil
}

// AppendEvents appends a frame of what Frames handed out. subscription or seq says of which session.
func AppendEvents(dst []byte, subscription string, seq *int64, ds []*autobus.Delivery) []byte {
	first := ds[0]
	h := Events{Op: "events", Subscription: subscription, Seq: seq, Partition: first.Partition,
		BaseOffset: first.Offset, Fence: first.Fence, Deadline: first.Deadline.UTC()}
	h.Lease, _, _ = first.Lease.Cut()
	h.Shared = Share(len(ds), func(i int) *autobus.Event { return &ds[i].Event })
	for i, d := range ds {
		if d.Attempt > 1 {
			if h.Attempts == nil {
				h.Attempts = map[int]int{}
			}
			h.Attempts[i] = d.Attempt
		}
		if d.Unspecified {
			h.Unspecified = append(h.Unspecified, i)
		}
	}
	header, _ := json.Marshal(&h) // it is made of what JSON can say
	dst = AppendHeader(dst, header)
	for _, d := range ds {
		dst = AppendRecord(dst, d.Offset-first.Offset, &d.Event, &h.Shared)
	}
	return dst
}

// Deliveries reads the records of such a frame. Key and data are slices of body.
func (h *Events) Deliveries(body []byte) ([]autobus.Delivery, *autobus.Error) {
	var ds []autobus.Delivery
	records := NewRecords(body, h.Shared)
	for {
		d := autobus.Delivery{Partition: h.Partition, Fence: h.Fence, Deadline: h.Deadline, Attempt: 1}
		delta, refused, ok := records.Next(&d.Event)
		if !ok {
			return ds, records.Err()
		}
		if refused != nil {
			return ds, refused
		}
		d.Offset = h.BaseOffset + delta
		if h.Lease != "" {
			d.Lease = h.Lease.At(d.Offset)
		}
		if n := h.Attempts[len(ds)]; n > 0 {
			d.Attempt = n
		}
		d.Unspecified = slices.Contains(h.Unspecified, len(ds))
		ds = append(ds, d)
	}
}
