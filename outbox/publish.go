// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
)

// PublishTx makes an event as autobus.NewEvent does and inserts it into the table DefaultTable within the transaction.
// The event it returns has its id. Give autobus.WithKey what the events have to stay in order by, also where the spec
// takes the key from the data: it has to be the same then.
//
// The error is an *autobus.Error where the event could never be written, whatever its spec says; nothing was sent to
// the database then and the transaction can go on. Any other error is the database's.
func PublishTx(
	ctx context.Context, tx *sql.Tx, typ string, data any, opts ...autobus.EventOption,
) (autobus.Event, error) {
	e, err := autobus.NewEvent(typ, data, opts...)
	if err != nil {
		return e, err
	}
	return e, DefaultTable.PublishTx(ctx, tx, e)
}

// PublishTx inserts an event into the table within the transaction. Without an id the database gives it one. An event
// whose id is in the table already violates a constraint, which ends the transaction. Errors are as those of the
// function PublishTx.
func (t Table) PublishTx(ctx context.Context, tx *sql.Tx, e autobus.Event) error {
	query, args, err := t.Insert(e)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("insert into %s: %w", t, err)
	}
	return nil
}

// Insert gives the statement that inserts an event, with placeholders $1 and so on, and its arguments, which are nil,
// string, []byte or time.Time. Errors are as those of the function PublishTx.
func (t Table) Insert(e autobus.Event) (query string, args []any, err error) {
	if err := t.Check(); err != nil {
		return "", nil, err
	}
	if err := check(&e); err != nil {
		return "", nil, err
	}
	columns := []string{"type"}
	values := []string{"$1"}
	args = []any{e.Type}
	add := func(column, cast string, v any) {
		args = append(args, v)
		columns = append(columns, column)
		values = append(values, fmt.Sprintf("$%d%s", len(args), cast))
	}
	for _, c := range []struct{ column, value string }{
		{"id", e.ID}, {"source", e.Source}, {"subject", e.Subject}, {"content_type", e.ContentType},
	} {
		if c.value != "" {
			add(c.column, "", c.value)
		}
	}
	others := map[string]string{}
	if e.DataSchema != "" {
		others["dataschema"] = e.DataSchema
	}
	for _, x := range e.Extensions {
		if x.Name == autobus.ExtPartitionKey {
			add("key", "", x.Value)
		} else {
			others[x.Name] = x.Value
		}
	}
	if len(others) > 0 {
		text, err := json.Marshal(others)
		if err != nil {
			return "", nil, autobus.NewError(autobus.ReasonEventInvalid, "its attributes cannot be written: %v", err)
		}
		add("attributes", "::text::json", string(text))
	}
	if !e.Time.IsZero() {
		add("time", "", e.Time)
	}
	// As text, so that every driver sends it as it is, whatever it makes of JSON.
	if e.Data != nil && e.IsJSON() {
		add("data", "::text::json", string(e.Data))
	} else if e.Data != nil {
		add("data_bytes", "", bytes.Clone(e.Data))
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", t, strings.Join(columns, ", "), strings.Join(values, ", ")),
		args, nil
}

// check refuses what the database would choke on, which would end the caller's transaction, and what no spec allows.
func check(e *autobus.Event) error {
	if !autobus.LegalTopic(e.Type) { // dev takes more names than specs do
		return autobus.NewError(autobus.ReasonTypeInvalid, "%q cannot name a type of events", e.Type)
	}
	if err := e.Check(); err != nil {
		return err
	}
	if e.Data == nil || !e.IsJSON() {
		return nil
	}
	if !json.Valid(e.Data) || !utf8.Valid(e.Data) {
		return autobus.NewError(autobus.ReasonDataUnreadable, "the data of %s, %s, is not JSON", e.Type,
			cmp.Or(e.ID, "without an id"))
	}
	return nil
}
