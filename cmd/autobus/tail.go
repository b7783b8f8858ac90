// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// tailFlags is one tail command as it was typed.
type tailFlags struct {
	app    *app
	types  []string
	filter string
	from   string
	n      int
}

func (a *app) newTailCommand() *cobra.Command {
	t := &tailFlags{app: a}
	cmd := &cobra.Command{
		Use:   "tail TYPE|PATTERN...",
		Short: "Print events as they come",
		Long: "Read types without a group: every reader gets everything, nothing is settled. A segment * of a pattern\n" +
			"stands for any one segment, at the end for one or more.\n\n" +
			"With --filter an event comes when the expression is true, and also when it cannot be evaluated, such as for a\n" +
			"missing field: 'data.total > 100' lets events without total through, 'has(data.total) && data.total > 100'\n" +
			"does not.\n\n" +
			"In the table \"foreign\" marks a record that another program wrote to Kafka without CloudEvents headers\n" +
			"(\"unspecified\": true under -o json), and (no data) one without a value.\n\n" +
			"Ends by Ctrl-C, which is exit status 0 here, after -n events, or with the bus.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus tail orders.order.placed.v1\n" +
			"  autobus tail 'orders.*' --from -1h --filter 'has(data.total) && data.total > 100'\n" +
			"  autobus tail 'demo.*' --from earliest -n 10 -o ndjson",
		Args:              named("type", "autobus tail 'orders.*'", cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			t.types = args
			return t.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.filter, "filter", "", "CEL expression over data, id, source, type, subject, time, key, ext")
	f.StringVar(&t.from, "from", "latest", "where to begin: latest, earliest, -1h, or a time")
	f.IntVarP(&t.n, "number", "n", 0, "end after this many events; default: go on")
	return cmd
}

// tailLine is a line of the stream: an event at its place, a heartbeat, or the error that ends it.
type tailLine struct {
	placedEvent
	Error *problem `json:"error"`
}

func (t *tailFlags) run(ctx context.Context) error {
	if t.n < 0 {
		return usage("-n is %d", t.n).WithHint("Give a number from 1, or leave it away.")
	}
	c, err := t.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	left := t.n
	err = c.tail(ctx, t.query(), t.app.timeout, func(line []byte, l *tailLine) error {
		if err := t.app.printEvent(line, &l.placedEvent); err != nil {
			return err
		}
		if left--; left == 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return err
}

// errEnough ends a tail from within.
var errEnough = errors.New("enough")

func (t *tailFlags) query() url.Values {
	q := url.Values{"type": t.types, "from": {t.from}}
	if t.filter != "" {
		q.Set("filter", t.filter)
	}
	return q
}

// tail reads the events until f has enough, ctx ends or the bus ends the stream, which is an error.
func (c *api) tail(ctx context.Context, q url.Values, answer time.Duration, f func([]byte, *tailLine) error) error {
	return c.lines(ctx, "/v1/tail", q, answer, nil, func(line []byte) error {
		var l tailLine
		switch err := json.Unmarshal(line, &l); {
		case err != nil:
			return unreadable("a line of the stream", err)
		case l.Error != nil:
			return l.Error.exit()
		case l.Event == nil:
			return nil // a heartbeat
		}
		return f(line, &l)
	})
}
