// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
)

// eventOverhead is about what an event costs in a frame and in memory beside its size.
const eventOverhead = 128

// Publish implements autobus.Bus. It fills in absent ids, so that sending again is safe; the gateway fills in source
// and time, which stand in the events when the batch is settled. It returns when the batch has its place in the queue.
// The error is for a batch that was not looked at: besides the reasons of Bus.Publish, the client is closed
// (ReasonShuttingDown), or ctx ended while there was no room (ReasonCapacity). Batch.Done is called by the goroutine
// that reads the answers, so it must not wait, and not call Publish, which may.
func (c *Client) Publish(ctx context.Context, b *autobus.Batch) error {
	if b.Mode != autobus.Independent && b.Mode != autobus.Ordered {
		return autobus.NewError(autobus.ReasonModeInvalid, "there is no mode %d", b.Mode)
	}
	if len(b.Events) > autobus.MaxBatchEvents {
		return autobus.NewError(autobus.ReasonBatchTooLarge, "%d events, at most %d", len(b.Events),
			autobus.MaxBatchEvents)
	}
	size := 0
	for i := range b.Events {
		size += b.Events[i].Size() + eventOverhead
	}
	if size > autobus.MaxBatchBytes+len(b.Events)*eventOverhead {
		return autobus.NewError(autobus.ReasonBatchTooLarge, "%d bytes, at most %d", size, autobus.MaxBatchBytes)
	}
	if err := c.courier.enter(ctx, size); err != nil {
		return err
	}
	if err := b.Open(); err != nil {
		c.courier.release(size)
		return err
	}
	if len(b.Events) == 0 {
		c.courier.release(size)
		return nil
	}
	now := time.Now()
	for i := range b.Events {
		if e := &b.Events[i]; e.ID == "" {
			e.ID = autobus.NewID(now)
		}
	}
	p := &parcel{batch: b, size: size, due: now.Add(c.cfg.ResendFor)}
	p.open.Store(int32(len(b.Events)))
	c.courier.queueUp(p)
	return nil
}
