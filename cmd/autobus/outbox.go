// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/relay"
	"github.com/autobus-io/autobus/outbox"
)

// outboxFlags are the settings of the outbox commands that have a flag.
type outboxFlags struct {
	app    *app
	config string
	values flagValues
	cmd    *cobra.Command
}

func (a *app) newOutboxCommand() *cobra.Command {
	return group("outbox", "Relay events from a table of a service's own PostgreSQL into the bus",
		"  autobus outbox ddl | psql shop\n"+
			"  autobus outbox run --dsn postgres://relay@localhost/shop\n"+
			"  autobus outbox status --dsn postgres://relay@localhost/shop",
		a.newOutboxDDLCommand(), a.newOutboxRunCommand(), a.newOutboxStatusCommand(), a.newOutboxRefusedCommand(),
		a.newOutboxRetryCommand(), a.newOutboxDropCommand())
}

func (a *app) newOutboxDDLCommand() *cobra.Command {
	table := string(outbox.DefaultTable)
	cmd := &cobra.Command{
		Use:   "ddl",
		Short: "Print the SQL that makes the table",
		Long: "Print the SQL that makes the table, for the service's own migrations. PostgreSQL 13 or newer.\n\n" +
			exitCodes(exitOK, exitUsage),
		Example: "  autobus outbox ddl > migrations/0042_outbox.sql\n  autobus outbox ddl --table shop.events | psql shop",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			t := outbox.Table(table)
			if err := t.Check(); err != nil {
				return usage("--table is %q", table).WithHint("Use name or schema.name, of a-z, 0-9 and _.")
			}
			_, err := fmt.Fprint(a.out, t.DDL())
			return err
		},
	}
	cmd.Flags().StringVar(&table, "table", table, "name of the table, with its schema or without")
	return cmd
}

// outboxFlags adds the flags that say which table of which database, and those of more paths.
func (a *app) outboxFlags(cmd *cobra.Command, more ...[2]string) *outboxFlags {
	o := &outboxFlags{app: a, values: flagValues{}, cmd: cmd}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", os.Getenv("AUTOBUS_OUTBOX_CONFIG"),
		"file of the configuration (AUTOBUS_OUTBOX_CONFIG)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	for _, flag := range append([][2]string{
		{"dsn", "address of the database (AUTOBUS_OUTBOX_DSN)"},
		{"password_file", "file that holds the database user's password"},
		{"table", "name of the table, with its schema or without; autobus_outbox without any"},
	}, more...) {
		o.values[flag[0]] = ""
		f.String(flagName(flag[0]), "", flag[1])
	}
	return o
}

// load builds the configuration from the file, the variables and the flags that were given.
func (o *outboxFlags) load() (*outboxConfig, *problems, *pgx.ConnConfig, error) {
	given := flagValues{}
	for path := range o.values {
		if flag := o.cmd.Flags().Lookup(flagName(path)); flag.Changed {
			given[path] = flag.Value.String()
		}
	}
	return loadOutboxConfig(o.config, given)
}

// open connects to the table for an operator's command. The context it gives ends with --timeout.
func (o *outboxFlags) open(ctx context.Context) (context.Context, *relay.Table, func(), error) {
	c, _, database, err := o.load()
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.app.timeout)
	table, err := relay.OpenTable(ctx, database, outbox.Table(c.Table))
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	return ctx, table, func() { table.Close(); cancel() }, nil
}
