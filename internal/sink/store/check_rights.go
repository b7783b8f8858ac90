// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
	"strings"

	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/spec"
)

// checkSchema looks for the schema of a table that is to be made.
func (s *Store) checkSchema(ctx context.Context, c *Check, p *sink.Plan, table string) error {
	schema, _, ok := strings.Cut(table, ".")
	if !ok {
		return nil
	}
	if s.dialect.Schema == nil {
		c.Faults = append(c.Faults, spec.Problem{File: p.File.Path, Hint: "Leave away what stands before the point.",
			Message: s.dialect.Name + " has no schemas, which the table " + table + " names one of"})
		return nil
	}
	there, err := s.dialect.Schema(ctx, s.db, schema)
	if err != nil || there {
		return err
	}
	step := Step{SQL: "CREATE SCHEMA " + quote(schema), Why: "the schema " + schema + " is missing"}
	if !slices.Contains(c.Steps, step) {
		c.Steps = append(c.Steps, step)
	}
	return nil
}

// checkRights looks whether the user may do to a table what the sink does. What it lacks would stop the sink later.
func (s *Store) checkRights(ctx context.Context, c *Check, p *sink.Plan, table string) error {
	if s.dialect.Missing == nil {
		return nil
	}
	rights := []string{"INSERT"}
	if p.Upsert {
		rights = append(rights, "SELECT", "UPDATE", "DELETE", "TEMPORARY")
	}
	missing, err := s.dialect.Missing(ctx, s.db, table, rights...)
	if err == nil && len(missing) > 0 {
		c.Faults = append(c.Faults, spec.Problem{File: p.File.Path, Hint: "GRANT it; TEMPORARY is a right on the database.",
			Message: "the user of the DSN may not " + strings.Join(missing, ", ") + " on the table " + table})
	}
	return err
}
