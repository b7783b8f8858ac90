// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"fmt"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// pastAllowed is how late a scheduled event may come, as at the real bus.
const pastAllowed = 5 * time.Second

// schedule keeps an event until its time by the bus's clock. Its receipt comes at once. Nothing cancels it.
func (b *Bus) schedule(who autobus.Principal, t *topic, e *autobus.Event, text string, receipt func(autobus.Receipt),
) *autobus.Error {
	b.lock()
	defer b.unlock()
	now := b.clock.now().UTC()
	at, ok := autobus.ParseTime(text)
	if !ok || now.Sub(at) > pastAllowed || at.Sub(now) > autobus.MaxDelay {
		return autobus.NewError(autobus.ReasonScheduleInvalid, "nothing can be scheduled for %q", text)
	}
	if e.Source == "" {
		e.Source = "/" + who.Name
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	if e.ID == "" {
		e.ID = autobus.NewID(now)
	}
	id := identity{principal: "\x00scheduled " + who.Name, source: e.Source, id: e.ID}
	if known := b.duplicates[id]; known != nil && now.Sub(known.at) <= duplicateAge {
		return b.again(known, e, receipt)
	}
	b.schedules++
	r := autobus.Receipt{Status: autobus.Written, Scheduled: &autobus.Scheduled{
		ID: fmt.Sprintf("%s~%d", e.Type, b.schedules), At: at}}
	b.duplicates[id] = &attempt{event: clone(e), receipt: r, at: now}
	due := clone(e)
	due.Extensions = slices.DeleteFunc(due.Extensions, func(x autobus.Extension) bool {
		return x.Name == autobus.ExtDeliverAt
	})
	b.clock.set(at, func() { b.perform(t, &attempt{event: due, at: at}, func(autobus.Receipt) {}) })
	b.later = append(b.later, func() { receipt(r) })
	return nil
}
