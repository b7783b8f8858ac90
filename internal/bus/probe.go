// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// canary is the topic of Probe's events. Nobody else writes or reads it.
const canary = "_autobus.canary"

// Probe publishes an event of the bus's own and reads it back: what a service's events go through works. Its topic is
// made on first use.
func (b *Bus) Probe(ctx context.Context) error {
	_, err := b.cfg.Log.CreateInternal(ctx, canary, 1, map[string]string{"retention.ms": "3600000"})
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	sent := autobus.Event{ID: autobus.NewID(now), Source: "/autobus", Type: canary, Time: now}
	stamp := stamper{now: now, events: 1}
	route := newRoute(control.Route{Type: canary, Topic: canary, Partitions: 1})
	at, err := b.cfg.Log.Write(ctx, stamp.record(route, nil, &sent))
	if ctx.Err() != nil {
		return autobus.NewError(autobus.ReasonOutcomeUnknown, "the brokers did not confirm an event of the bus's own").
			WithCause(ctx.Err())
	}
	if err != nil {
		return err
	}
	reader, err := b.cfg.Log.Read(map[kafka.TP]int64{{Topic: canary}: at})
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		records, err := reader.Poll(ctx)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			continue
		}
		if got := decode(b.cfg.Log.Name(), canary, &records[0]); got.ID != sent.ID || records[0].Offset != at {
			return fmt.Errorf("event %s of %s was acknowledged at offset %d, where event %s stands", sent.ID, canary, at,
				got.ID)
		}
		return nil
	}
}
