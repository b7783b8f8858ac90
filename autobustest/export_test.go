// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"time"

	"github.com/autobus-io/autobus"
)

// Written is an event as a judge sees it.
type Written struct {
	autobus.Event
	Partition int32
	Offset    int64
	At        time.Time
}

// Log lists all that was written of a type, in its order.
func (b *Bus) Log(typ string) (all []Written) {
	b.lock()
	defer b.unlock()
	for _, r := range b.written {
		if r.event.Type == typ {
			all = append(all, Written{clone(&r.event), r.partition, r.offset, r.at})
		}
	}
	return all
}
