// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

// log compares the outboxes with the log: each row is there, nothing else is, and each is there once.
func (o options) log(ctx context.Context, all databases) error {
	rows := map[string]map[string]bool{} // ids by type
	for name := range all {
		err := all.rows(ctx, name, `SELECT type, id FROM outbox`, func(row []string) {
			if rows[row[0]] == nil {
				rows[row[0]] = map[string]bool{}
			}
			rows[row[0]][row[1]] = true
		})
		if err != nil {
			return err
		}
	}
	types := slices.Sorted(maps.Keys(rows))
	logged, err := o.read(ctx, types)
	if err != nil {
		return err
	}
	fmt.Printf("\n%-32s %8s %8s %8s\n", "type", "rows", "events", "ids")
	var faults []error
	for _, typ := range types {
		events := 0
		for id, copies := range logged[typ] {
			events += copies
			if !rows[typ][id] {
				faults = append(faults, fmt.Errorf("%s %s is in the log and in no outbox", typ, id))
			}
		}
		fmt.Printf("%-32s %8d %8d %8d\n", typ, len(rows[typ]), events, len(logged[typ]))
		if n := len(rows[typ]); n != events || n != len(logged[typ]) {
			faults = append(faults, fmt.Errorf("of %d rows of %s %d are events, of %d ids", n, typ, events, len(logged[typ])))
		}
	}
	return errors.Join(faults...)
}

// read counts the copies of each event in the log, by type and id.
func (o options) read(ctx context.Context, types []string) (map[string]map[string]int, error) {
	bus, err := client.New(client.Config{URL: o.server, Token: os.Getenv("AUTOBUS_TOKEN"), Service: "tables",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = bus.Close(closing) // nothing was published
	}()
	logged := map[string]map[string]int{}
	for _, typ := range types {
		logged[typ] = map[string]int{}
	}
	reading, done := context.WithCancel(ctx)
	defer done()
	err = bus.Subscribe(reading, autobus.Subscription{
		Tail: types, From: autobus.Start{Earliest: true, Time: o.since},
		Moved: func(at autobus.TailPosition) {
			if at.CaughtUp {
				done()
			}
		},
	}, func(_ context.Context, ds []autobus.Delivery) {
		for _, d := range ds {
			logged[d.Type][d.ID]++
		}
	})
	return logged, errors.Join(err, ctx.Err())
}

// again tells how much was delivered more than once, which was done once nevertheless; and that nothing was of the
// order of which nothing may.
func (o options) again(ctx context.Context, all databases) error {
	events, again := 0, 0
	twice := map[string]bool{} // ids
	for name := range all {
		query := `SELECT id, times FROM seen`
		if name == "payment" { // it reads a command
			query = `SELECT key, times FROM answers`
		}
		err := all.rows(ctx, name, query, func(row []string) {
			events++
			if row[1] != "1" {
				again++
				twice[row[0]] = true
			}
		})
		if err != nil {
			return err
		}
	}
	fmt.Printf("\n%d deliveries were handled; %d of them came more than once, and nothing was done twice\n", events, again)
	var faults []error
	for name := range all {
		err := all.rows(ctx, name, `SELECT id, type, json_extract(data, '$.orderId') FROM outbox`, func(row []string) {
			if row[2] == o.once && twice[row[0]] {
				faults = append(faults, fmt.Errorf("%s of %s came more than once", row[1], o.once))
			}
		})
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
