// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/spec"
)

// Prepare makes empty tables beside the live ones, which have what the live ones have beyond columns, such as indexes,
// where the shape allows it. What an earlier rebuild left behind goes; one that goes on is not disturbed.
func (s *Store) Prepare(ctx context.Context, live, built *sink.Plan) error {
	if err := s.checkLeft(ctx, built); err != nil {
		return err
	}
	if err := s.forget(ctx, built); err != nil {
		return err
	}
	tables := live.Tables()
	var steps []Step
	for i, t := range built.Tables() {
		if there, err := s.dialect.Columns(ctx, s.db, tables[i].Name); err != nil {
			return s.unreachable(err)
		} else if there != nil && s.dialect.Like != nil {
			steps = append(steps, Step{SQL: s.dialect.Like(quote(t.Name), quote(tables[i].Name))})
		}
	}
	if err := s.Apply(ctx, steps); err != nil {
		return err
	}
	c, err := s.Check(ctx, built)
	if err == nil && len(c.Faults) > 0 { // the live tables have another shape
		if err = s.forget(ctx, built); err == nil {
			c, err = s.Check(ctx, built)
		}
	}
	if err != nil {
		return err
	}
	if len(c.Faults) > 0 {
		return c.Faults
	}
	return s.Apply(ctx, c.Steps)
}

// checkLeft refuses to drop a table that no rebuild left behind, or that another one fills. Where two look at the same
// moment, the one that is too late is told by its own writes, or by Swap.
func (s *Store) checkLeft(ctx context.Context, built *sink.Plan) error {
	st, left, err := s.Status(ctx, built.Name)
	if err != nil {
		return err
	}
	if lease := built.File.Lease; st.Writer != "" && st.Writer != s.name && st.Silent < lease {
		return spec.Problems{{File: built.File.Path,
			Message: "another rebuild fills " + built.Table + " already",
			Hint:    "Wait for its end. If it was killed, try again after the lease of " + lease.String() + "."}}
	}
	if left {
		return nil
	}
	for _, t := range built.Tables() {
		there, err := s.dialect.Columns(ctx, s.db, t.Name)
		if err != nil {
			return s.unreachable(err)
		}
		if there != nil {
			return spec.Problems{{File: built.File.Path, Hint: "Drop it or give it another name.",
				Message: "there is a table " + t.Name + " already, the name under which the rebuild would fill the new one"}}
		}
	}
	return nil
}

// forget drops the tables of a rebuild and what is known of it.
func (s *Store) forget(ctx context.Context, built *sink.Plan) error {
	if there, err := s.dialect.Columns(ctx, s.db, "autobus_sink"); err != nil {
		return s.unreachable(err)
	} else if there == nil {
		return nil
	}
	var steps []Step
	for _, t := range built.Tables() {
		steps = append(steps, Step{SQL: "DROP TABLE IF EXISTS " + quote(t.Name)})
	}
	for _, own := range []string{"autobus_sink_offset", "autobus_sink_error", "autobus_sink_deleted"} {
		steps = append(steps, Step{SQL: fmt.Sprintf("DELETE FROM %s WHERE sink = '%s'", own, built.Name)})
	}
	return s.Apply(ctx, append(steps, Step{SQL: fmt.Sprintf("DELETE FROM autobus_sink WHERE name = '%s'", built.Name)}))
}

// Hold takes a sink away from whoever writes it, and keeps it while it is called at least once a lease.
func (s *Store) Hold(ctx context.Context, name string) error {
	_, err := s.exec(ctx, s.db, `UPDATE autobus_sink SET writer = ?, beat = `+s.dialect.Now+` WHERE name = ?`, s.name,
		name)
	return s.unreachable(err)
}

// Release gives a sink that was held back.
func (s *Store) Release(ctx context.Context, name string) error {
	_, err := s.exec(ctx, s.db, `UPDATE autobus_sink SET writer = NULL WHERE name = ? AND writer = ?`, name, s.name)
	return s.unreachable(err)
}

// Swap puts the rebuilt tables in the place of the live ones, with their positions, in one transaction: whoever reads
// the tables sees the old rows or the new ones. The live sink must be held, and the built one open: ErrBusy when
// somebody else took one of them.
func (s *Store) Swap(ctx context.Context, live, built *sink.Plan) error {
	layout, err := json.Marshal(live.Layout())
	if err != nil {
		return err
	}
	return s.within(ctx, func(q Querier) error {
		n, err := s.exec(ctx, q, `UPDATE autobus_sink SET layout = ?, writer = NULL WHERE name = ? AND writer = ?`,
			string(layout),
			live.Name, s.name)
		if err != nil {
			return err
		}
		if n == 0 {
			return sink.ErrBusy
		}
		// Before the tables, as Write has it, or the two would wait for each other.
		n, err = s.exec(ctx, q, `DELETE FROM autobus_sink WHERE name = ? AND writer = ?`, built.Name, s.name)
		if err != nil {
			return err
		}
		if n == 0 {
			return sink.ErrBusy
		}
		tables := live.Tables()
		for i, t := range built.Tables() {
			steps, err := s.dialect.Swap(ctx, q, tables[i].Name, t.Name)
			if err != nil {
				return err
			}
			for _, step := range steps {
				if _, err := q.ExecContext(ctx, step); err != nil {
					return fmt.Errorf("%s: %w", step, err)
				}
			}
		}
		for _, own := range []string{"autobus_sink_offset", "autobus_sink_error", "autobus_sink_deleted"} {
			if _, err := s.exec(ctx, q, `DELETE FROM `+own+` WHERE sink = ?`, live.Name); err != nil {
				return err
			}
			if _, err := s.exec(ctx, q, `UPDATE `+own+` SET sink = ? WHERE sink = ?`, live.Name, built.Name); err != nil {
				return err
			}
		}
		return nil
	})
}
