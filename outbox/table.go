// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	_ "embed" // for the form of the table
	"regexp"
	"strings"

	"github.com/autobus-io/autobus"
)

// DefaultTable is the name of the table where nobody gives another.
const DefaultTable Table = "autobus_outbox"

// Channel is the name on which the table's trigger notifies the relay that there are rows.
const Channel = "autobus_outbox"

// Table is the name of an outbox, with its schema or without: "autobus_outbox", "shop.autobus_outbox". Each part has at
// most 50 characters of [a-z0-9_], does not begin with a digit and is no reserved word of SQL.
type Table string

var tableName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,49}\.)?[a-z_][a-z0-9_]{0,49}$`)

// Check says what is wrong with the name (ReasonConfigInvalid), or nil.
func (t Table) Check() error {
	if !tableName.MatchString(string(t)) {
		return autobus.NewError(autobus.ReasonConfigInvalid, "%q cannot name an outbox", string(t)).
			WithHint("Use name or schema.name, each of at most 50 characters of a-z, 0-9 and _.")
	}
	return nil
}

//go:embed outbox.sql
var ddl string

// DDL is the SQL that makes the table, its indexes and its trigger, for PostgreSQL 13 or newer. It is one script of
// several statements, for the service's own migrations; it fails where the table exists.
func (t Table) DDL() string {
	_, bare, qualified := strings.Cut(string(t), ".")
	if !qualified {
		bare = string(t)
	}
	// What has a name of its own within the schema goes by the bare name: an index takes no schema.
	return strings.NewReplacer("INDEX autobus_outbox", "INDEX "+bare, "TRIGGER autobus_outbox", "TRIGGER "+bare,
		"'autobus_outbox'", "'"+Channel+"'", "autobus_outbox", string(t)).Replace(ddl)
}
