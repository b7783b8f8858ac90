// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
)

// The frames that a server sends about a subscription: the same objects over WebSocket and on a stream of HTTP. Each is
// one line of JSON without its end.

// FrameBytes is about how much of events goes into one frame, so that a reader with little room gets along.
const FrameBytes = 256 << 10

// Portions cuts deliveries into what goes into one frame each: at least one delivery, else about 256 KiB.
func Portions(ds []autobus.Delivery, yield func(part []autobus.Delivery) error) error {
	for len(ds) > 0 {
		n, size := 1, ds[0].Size()
		for n < len(ds) && size+ds[n].Size() <= FrameBytes {
			size += ds[n].Size()
			n++
		}
		if err := yield(ds[:n]); err != nil {
			return err
		}
		ds = ds[n:]
	}
	return nil
}

// AppendEvents appends {"op":"events"} of a subscription.
func AppendEvents(dst []byte, subscription string, ds []autobus.Delivery) []byte {
	dst = append(dst, `{"op":"events","subscription":`...)
	dst = autobus.AppendString(dst, subscription)
	dst = append(dst, ',')
	dst = AppendDeliveries(dst, ds, AppendDelivery)
	return append(dst, '}')
}

// AppendDeliveries appends the member "deliveries", each as object writes it.
func AppendDeliveries(
	dst []byte, ds []autobus.Delivery, object func([]byte, *autobus.Delivery) []byte,
) []byte {
	dst = append(dst, `"deliveries":[`...)
	for i := range ds {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = object(dst, &ds[i])
	}
	return append(dst, ']')
}

// AppendRevoke appends {"op":"revoke"}: stop working on these.
func AppendRevoke(dst []byte, subscription string, ls []autobus.Lease) []byte {
	dst = append(dst, `{"op":"revoke","subscription":`...)
	dst = autobus.AppendString(dst, subscription)
	dst = append(dst, ',')
	dst = AppendLeases(dst, ls)
	return append(dst, '}')
}

// AppendLeases appends the member "leases".
func AppendLeases(dst []byte, ls []autobus.Lease) []byte {
	dst = append(dst, `"leases":[`...)
	for i, l := range ls {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = autobus.AppendString(dst, string(l))
	}
	return append(dst, ']')
}

// AppendPositionLost appends {"op":"position_lost"}.
func AppendPositionLost(dst []byte, subscription string, p autobus.PositionLost) []byte {
	dst = append(dst, `{"op":"position_lost","subscription":`...)
	dst = autobus.AppendString(dst, subscription)
	dst = append(dst, `,"type":`...)
	dst = autobus.AppendString(dst, p.Type)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(p.Partition), 10)
	dst = append(dst, `,"from":`...)
	dst = strconv.AppendInt(dst, p.From, 10)
	dst = append(dst, `,"to":`...)
	dst = strconv.AppendInt(dst, p.To, 10)
	return append(dst, '}')
}

// AppendDrain appends {"op":"drain"}: finish until the deadline and go on elsewhere.
func AppendDrain(dst []byte, deadline time.Time) []byte {
	dst = append(dst, `{"op":"drain","deadline":"`...)
	dst = deadline.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`...)
}
