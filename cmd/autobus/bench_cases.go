// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bench"
)

// cases checks the flags and gives every combination.
func (b *benchFlags) cases() (cases []bench.Case, err error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	for _, text := range b.sizes {
		size, err := parseSize(text)
		if err != nil || size < bench.MinSize || size > autobus.MaxEventBytes/2 {
			return nil, usage("--size has %q", text).WithHint("Give bytes from %d to %d, such as 100 or 1KiB.", bench.MinSize,
				autobus.MaxEventBytes/2)
		}
		for _, batch := range b.batches {
			for _, connections := range b.connections {
				for _, partitions := range b.partitions {
					c := bench.Case{Mode: b.mode, Transport: b.transport, Value: b.value, Size: int(size), Batch: batch,
						Callers: b.callers, Connections: connections, Clients: b.clients, Partitions: partitions, Rate: b.rate,
						Events: b.events, Window: b.window}
					if err := checkCase(c); err != nil {
						return nil, err
					}
					cases = append(cases, c)
				}
			}
		}
	}
	return cases, nil
}

func (b *benchFlags) check() error {
	word := func(flag, got string, want ...string) error {
		if slices.Contains(want, got) {
			return nil
		}
		return usage("--%s is %q", flag, got).WithHint("Use %s.", strings.Join(want, " or "))
	}
	if err := word("value", b.value, bench.JSON, bench.Opaque); err != nil {
		return err
	}
	if err := word("durability", b.durability, durabilityOS, durabilityFsync); err != nil {
		return err
	}
	if b.mode != bench.Direct {
		if err := word("transport", b.transport, bench.Frames, bench.NDJSON, bench.Single); err != nil {
			return err
		}
	}
	switch {
	case b.value == bench.Opaque && b.transport == bench.NDJSON:
		return usage("--value opaque with --transport ndjson").
			WithHint("A line holds JSON; use frames, or json for single events.")
	case b.url != "" && len(b.brokers) == 0:
		return usage("--url without --kafka").WithHint("Name the brokers of its cluster: direct writes to them.")
	case b.url == "" && b.gatewayPID != 0:
		return usage("--gateway-pid without --url").WithHint("The process of a gateway that the bench starts is known.")
	case b.plan.Rounds < 1:
		return usage("--rounds is %d", b.plan.Rounds).WithHint("Give a number from 1.")
	case b.mode != bench.Consume && b.plan.Round <= 0:
		return usage("--round is %s", b.plan.Round).WithHint("Give a duration such as 3s.")
	case b.rate < 0 || b.mode == bench.EndToEnd && b.rate == 0:
		return usage("--rate is %g", b.rate).WithHint("Give events per second.")
	case b.mode == bench.Consume && b.events < 1:
		return usage("--events is %d", b.events).WithHint("Give a number from 1.")
	}
	return nil
}

func checkCase(c bench.Case) error {
	switch {
	case c.Batch < 1 || c.Batch > autobus.MaxBatchEvents:
		return usage("--batch has %d", c.Batch).WithHint("Give numbers from 1 to %d.", autobus.MaxBatchEvents)
	case c.Batch > 1 && c.Batch*(c.Size+eventRoom) > autobus.MaxBatchBytes:
		return usage("%d events of %d bytes are more than a batch may have", c.Batch, c.Size).
			WithHint("A batch has %d bytes at most: measure large sizes and large batches apart.", autobus.MaxBatchBytes)
	case c.Batch > 1 && c.Transport == bench.Single:
		return usage("--transport json with --batch %d", c.Batch).WithHint("It is a request per event: --batch 1.")
	case c.Callers < 1 || c.Callers > maxCallers, c.Clients < 1 || c.Clients > maxCallers,
		c.Mode != bench.Direct && (c.Connections < 1 || c.Connections > maxCallers):
		return usage("--callers, --clients or --connections is not from 1 to %d", maxCallers).
			WithHint("Give another number.")
	case c.Partitions < 1 || c.Partitions > maxPartitions:
		return usage("--partitions has %d", c.Partitions).WithHint("Give numbers from 1 to %d.", maxPartitions)
	case c.Mode != bench.Direct && c.Mode != bench.Publish && (c.Window < 1 || c.Window > autobus.MaxWindowEvents):
		return usage("--window is %d", c.Window).WithHint("Give a number from 1 to %d.", autobus.MaxWindowEvents)
	}
	return nil
}

// Bounds of what a machine is asked for.
const (
	maxCallers    = 4096
	maxPartitions = 1000
	eventRoom     = 256 // attributes of an event, about
)
