// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Brokers and gateways may go while they are measured, and their clients wait for them without end. What is here sees
// to it that a bench does not.

// writer opens a Kafka client that ends with the rig or with ctx: what a broker has not answered is not given up for a
// context, but with its client.
func (r *rig) writer(ctx context.Context) (*kafka.Bare, error) {
	c, err := kafka.OpenBare(ctx, r.Kafka)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, c.Close)
	r.defers(func() {
		stop()
		c.Close()
	})
	return c, nil
}

// watch ends a round in which nothing is done any more: for a gateway or a broker that is gone, clients wait for ever.
func watch(ctx context.Context, stop context.CancelCauseFunc, done *atomic.Int64, patience time.Duration) {
	ticker := time.NewTicker(patience)
	defer ticker.Stop()
	for before := int64(-1); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := done.Load()
		if now == before {
			stop(autobus.NewError(autobus.ReasonInternal, "after %d events none came within %s", now, patience).
				WithHint("Look whether the gateway and the brokers are still there."))
			return
		}
		before = now
	}
}
