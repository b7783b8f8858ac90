// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/internal/relay"
	"github.com/autobus-io/autobus/outbox"
)

func (a *app) newOutboxRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Relay the table's rows into the bus until a signal comes",
		Long: "Relay the table's rows into the bus until a signal comes: in order per type and key, each under its id,\n" +
			"marked once it is written. A database or a bus that is away is waited for. Of several relays of one table\n" +
			"one works, the others stand by. docs/howto/outbox.md tells more, docs/reference/outbox.md lists the\n" +
			"configuration.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage),
		Example: "  autobus outbox run --dsn postgres://relay@localhost/shop --server http://localhost:7070\n" +
			"  autobus outbox run --config outbox.yaml --server https://bus.example.com --token-file /run/secrets/bus",
		Args: cobra.NoArgs,
	}
	o := a.outboxFlags(cmd, [2]string{"keep", "how long a row stays after it was sent; 24h without any, 0s = not at all"},
		[2]string{"on_refused", "what becomes of rows behind a refused one: hold, or skip"},
		[2]string{"listen", "address at which to show /metrics and /livez, host:port"},
		[2]string{"log.level", "debug, info, warn or error"})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, p, database, err := o.load()
		if err != nil {
			return err
		}
		if _, err := a.api(); err != nil { // the bus's address and token, before anything begins
			return err
		}
		return a.runOutbox(cmd.Context(), c, database, c.Log.open(a.err, p))
	}
	return cmd
}

func (a *app) runOutbox(ctx context.Context, c *outboxConfig, database *pgx.ConnConfig, logger *slog.Logger) error {
	metrics := newProcessMetrics()
	r, err := relay.New(relay.Config{
		Database: database, Table: outbox.Table(c.Table), OnRefused: relay.OnRefused(c.OnRefused), Keep: c.Keep,
		Poll: c.Poll, Batch: int(c.Batch), Logger: logger, Metrics: metrics,
		Dial: func() (autobus.Bus, func(), error) { return a.dialOutbox(logger) },
	})
	if err != nil {
		return err
	}
	return watched(ctx, c.Listen, metrics, nil, logger, r.Run)
}

// dialOutbox opens a connection of the relay's own. The token's file is read anew each time.
func (a *app) dialOutbox(logger *slog.Logger) (autobus.Bus, func(), error) {
	token, err := a.readToken()
	if err != nil {
		return nil, nil, err
	}
	url := a.server
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	c, err := client.New(client.Config{URL: url, Token: token, Service: "autobus-outbox", Version: readBuildInfo().Version,
		Logger: logger, MaxBackoff: 2 * time.Second})
	if err != nil {
		return nil, nil, err
	}
	return c, func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		// What is in flight is given up: another relay may be at work already. Its rows are there.
		_ = c.Close(over)
	}, nil
}
