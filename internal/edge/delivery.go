// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
)

// AppendDelivery appends the wire protocol's delivery object, on one line.
func AppendDelivery(dst []byte, d *autobus.Delivery) []byte {
	dst = append(dst, `{"lease":`...)
	dst = autobus.AppendString(dst, string(d.Lease))
	dst = append(dst, `,"attempt":`...)
	dst = strconv.AppendInt(dst, int64(d.Attempt), 10)
	dst = append(dst, `,"fence":`...)
	dst = strconv.AppendUint(dst, d.Fence, 10)
	dst = append(dst, `,"deadline":"`...)
	dst = d.Deadline.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `",`...)
	if to := d.ReplyTo(); to != "" {
		dst = append(dst, `"reply_to":`...)
		dst = append(autobus.AppendString(dst, string(to)), ',')
	}
	return appendPlaced(dst, d)
}

// AppendTailed appends one object of a tail, on one line: there is no lease, so the type stands beside the event.
func AppendTailed(dst []byte, d *autobus.Delivery) []byte {
	dst = append(dst, `{"type":`...)
	dst = autobus.AppendString(dst, d.Type)
	dst = append(dst, ',')
	return appendPlaced(dst, d)
}

// appendPlaced appends where the event stands and the event. The record's key stands beside the event, which is given
// as it was published: what the bus took from the data is no attribute of it.
func appendPlaced(dst []byte, d *autobus.Delivery) []byte {
	ev := &d.Event
	dst = append(dst, `"partition":`...)
	dst = strconv.AppendInt(dst, int64(d.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, d.Offset, 10)
	if ev.Unspecified {
		dst = append(dst, `,"unspecified":true`...)
	}
	switch {
	case ev.Key == nil:
	case utf8.Valid(ev.Key):
		dst = append(dst, `,"key":`...)
		dst = autobus.AppendString(dst, string(ev.Key))
	default:
		dst = append(dst, `,"key_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, ev.Key)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"event":`...)
	dst = autobus.AppendEvent(dst, ev)
	return append(dst, '}')
}
