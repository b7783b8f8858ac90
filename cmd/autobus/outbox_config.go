// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/autobus-io/autobus/internal/relay"
	"github.com/autobus-io/autobus/outbox"
)

// outboxConfig is the configuration of the outbox commands. Its comments are the reference, docs/reference/outbox.md,
// as those of config are.
type outboxConfig struct {
	// Address of the database, as libpq understands it: postgres://user@host:5432/name?sslmode=verify-full, or pairs such
	// as host=/run/postgresql dbname=shop. What it leaves away comes from the PG variables, such as PGHOST. It has to
	// lead to the server itself, or through a pooler in session mode: the relay's lock lives in its session.
	DSN string `yaml:"dsn"`
	// File that holds the user's password; a newline at its end is ignored. In the file of the configuration dsn must not
	// have one, so that it cannot end up in a repository. Empty means PGPASSWORD, PGPASSFILE, or none.
	PasswordFile string `yaml:"password_file"`
	// Name of the table, with its schema or without.
	Table string `yaml:"table"`
	// What becomes of the rows behind a refused one, of the same type and key: hold, they wait until it is sent or
	// dropped; skip, they go on.
	OnRefused string `yaml:"on_refused"`
	// How long a row stays after it was sent. 0 means that it is deleted instead of marked.
	Keep time.Duration `yaml:"keep"`
	// Longest time between two looks at the table. The table's trigger makes the relay look at once; without it this is
	// how long an event may wait.
	Poll time.Duration `yaml:"poll"`
	// Most rows of one batch, 1 to 1000.
	Batch number `yaml:"batch"`
	// Address at which the relay shows /metrics and /livez, host:port. Empty means nowhere.
	Listen string `yaml:"listen"`
	// What the relay writes about itself, to stderr.
	Log logConfig `yaml:"log"`
}

func defaultOutboxConfig() outboxConfig {
	return outboxConfig{Table: string(outbox.DefaultTable), OnRefused: string(relay.Hold), Keep: relay.DefaultKeep,
		Poll: relay.DefaultPoll, Batch: relay.DefaultBatch, Log: logConfig{Level: "info", Format: "text"}}
}

// loadOutboxConfig builds the configuration as loadConfig does; the file may be left away. It ends with every fault
// there is.
func loadOutboxConfig(file string, flags flagValues) (*outboxConfig, *problems, *pgx.ConnConfig, error) {
	c := defaultOutboxConfig()
	p := &problems{file: file, places: map[string]place{}, spoiled: map[string]bool{}}
	if file == "" {
		p.file = "the configuration"
	} else {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, nil, usage("the configuration cannot be read: %s", err).WithHint("Check --config.")
		}
		p.readFile(raw, valueOf(&c))
	}
	p.readEnv(outboxVariables, valueOf(&c))
	p.readFlags(valueOf(&c), flags)
	database := c.check(p)
	return &c, p, database, p.err()
}

// check finds what is wrong, and gives the database's address.
func (c *outboxConfig) check(p *problems) *pgx.ConnConfig {
	if err := outbox.Table(c.Table).Check(); err != nil {
		p.at("table", "%q cannot name an outbox", c.Table).next("use name or schema.name, of a-z, 0-9 and _")
	}
	p.oneOf("on_refused", c.OnRefused, string(relay.Hold), string(relay.Skip))
	if c.Keep < 0 {
		p.at("keep", "%s is negative", c.Keep).next("give a duration such as 24h, or 0s to delete at once")
	}
	if c.Poll < 10*time.Millisecond {
		p.at("poll", "%s is too short", c.Poll).next("give at least 10ms")
	}
	if c.Batch < 1 || c.Batch > 1000 {
		p.at("batch", "%d is not from 1 to 1000", c.Batch).next("give a number such as 1000")
	}
	if c.Listen != "" {
		p.hostPort("listen", c.Listen)
	}
	p.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	p.oneOf("log.format", c.Log.Format, "text", "json")
	return c.database(p)
}

func (c *outboxConfig) database(p *problems) *pgx.ConnConfig {
	if !p.sound("dsn") {
		return nil
	}
	if c.DSN == "" && os.Getenv("PGHOST") == "" && os.Getenv("PGSERVICE") == "" {
		p.at("dsn", "no database is named").next("give --dsn postgres://user@host/name, or the key dsn in --config FILE")
		return nil
	}
	database, err := pgx.ParseConfig(c.DSN)
	if err != nil {
		p.at("dsn", "it cannot be read: %s", oneLine(err.Error())).next("write it as postgres://user@host:5432/name")
		return nil
	}
	if bare, err := pgx.ParseConfig(""); err == nil && p.places["dsn"].line > 0 && database.Password != bare.Password {
		p.at("dsn", "it has a password").next("put the password into a file of its own and name it in password_file")
	}
	if c.PasswordFile != "" {
		database.Password = readSecret(p, "password_file", c.PasswordFile)
	}
	return database
}
