// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"time"

	"github.com/autobus-io/autobus/internal/control"
)

// stopAgain is the pause before a stop is written again that could not be.
const stopAgain = time.Second

// stoppedBy is who stops a subscription when no operator does.
const stoppedBy = "autobus"

// stop keeps an event without attempts left and pauses its subscription, here at once and elsewhere by the control log.
// Nothing of it is done: when somebody resumes, it is tried once more.
func (g *group) stop(sl *slot) {
	at := control.Place{Topic: sl.part.tp.Topic, Partition: sl.part.tp.Partition, Offset: sl.record.Offset}
	if !g.paused() {
		g.halt = &control.Pause{Since: time.Now().UTC(), By: stoppedBy, Why: clipFailure(sl.failure), Stopped: &at}
		g.bus.cfg.Logger.Error("subscription stopped by an event without attempts left; it goes on when it is resumed",
			"subscription", g.name, "owner", g.policy.Owner, "type", sl.part.typ, "partition", at.Partition, "offset",
			at.Offset, "reason", sl.failure)
		g.takeBack()
		signal(g.halting)
	}
	g.enqueue(sl)
}

// keepStopped writes a stop to the control log, however long that takes; until then nothing is handed out here.
func (g *group) keepStopped(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		case <-g.halting:
		}
		g.mu.Lock()
		halt := g.halt
		g.mu.Unlock()
		if halt == nil {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, saveTimeout)
		err := g.bus.alter(bounded, g.name, Audit{Actor: stoppedBy, Reason: halt.Why},
			func(_ uint32, v *control.Subscription) (bool, error) {
				first := v.Paused == nil
				if first {
					v.Paused = halt
				}
				return first, nil
			})
		cancel()
		if err != nil && ctx.Err() == nil {
			g.bus.cfg.Logger.Warn("stop subscription", "subscription", g.name, "error", err)
			again.Reset(stopAgain)
		}
	}
}
