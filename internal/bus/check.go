// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// recheckEvery bounds how often bad events make this instance ask the brokers for the end of the control log. It is
// shorter than refreshEvery: events that do not fit their spec are common, and those behind one in its stream wait too
// (docs/decisions/0039-events-that-do-not-fit-wait.md).
const recheckEvery = 20 * time.Millisecond

// check holds an event against its type. A refusal that a newer spec could lift, such as of a field that it declares,
// is given only after a read barrier; route and spec are then those that hold now.
func (p *publish) check(ctx context.Context, r *route, t *spec.Type, e *autobus.Event) (*route, *spec.Type,
	*autobus.Error) {
	err := spec.CheckEvent(t, e, r.maxEvent())
	if err == nil || t == nil || !mayBeLifted(err) {
		return r, t, err
	}
	if late := p.await(ctx, p.bus.recheck); late != nil {
		return r, t, autobus.NewError(autobus.ReasonClusterUnreachable,
			"the event does not fit the spec that is known here, and whether there is a newer one could not be found out "+
				"in time: %s", err.Detail).WithCause(late)
	}
	newer, now, gone := p.bus.resolve(ctx, p.who, e.Type, p.barrier)
	switch {
	case gone != nil:
		return r, t, gone
	case newer == r && now == t:
		return r, t, err
	}
	return newer, now, spec.CheckEvent(now, e, newer.maxEvent())
}

// mayBeLifted reports whether a newer version of a spec could take what was refused. The key never moves.
func mayBeLifted(err *autobus.Error) bool {
	switch err.Reason {
	case autobus.ReasonDataInvalid, autobus.ReasonContentType, autobus.ReasonEventTooLarge:
		return true
	}
	return false
}

// barrier is the read barrier of this call: what several unknown types wait for, they wait for once.
func (p *publish) barrier(ctx context.Context) error { return p.await(ctx, p.bus.refresh) }

func (p *publish) await(ctx context.Context, r *refresher) error {
	if !p.asked {
		p.asked, p.fresh = true, r.after(ctx)
	}
	return p.fresh
}
