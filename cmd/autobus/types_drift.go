// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/registry"
)

func (a *app) newTypesDriftCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drift",
		Short: "Say where topics and routes are not as the specs in force say",
		Long: "Say where topics and routes are not as the specs in force say: topics that are gone, settings that\n" +
			"somebody changed, copies that are missing, specs that could not come into force now. Under -o json:\n" +
			"{\"missing\", \"differ\", \"routes\", \"drift\", \"faults\", \"unread\"}, each only where there is something.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus types drift\n  autobus types drift -o json | jq .differ",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := a.getDoc(cmd.Context(), "/v1/specs/drift")
			if err != nil {
				return err
			}
			var c registry.Comparison
			if err := json.Unmarshal(doc, &c); err != nil {
				return unreadable("the comparison", err)
			}
			rows := driftRows(c)
			switch {
			case a.output != "table":
				if err := a.emit(doc); err != nil {
					return err
				}
			case len(rows) > 0:
				a.table([]string{"where", "is", "should be"}, rows)
			}
			if len(rows) > 0 {
				return &exitError{code: exitFound}
			}
			a.note("Topics and routes are as the specs in force say.")
			return nil
		},
	}
}

func driftRows(c registry.Comparison) (rows [][]string) {
	for _, name := range c.Missing {
		rows = append(rows, []string{"topic " + name, "not there", "there"})
	}
	for _, d := range c.Differ {
		rows = append(rows, []string{"topic " + d.Topic, d.Key + "=" + cmp.Or(d.Before, "(default)"), d.After})
	}
	for _, d := range c.Drift {
		rows = append(rows, []string{"topic " + d.Topic, d.What + " " + d.Got, d.Want})
	}
	for _, name := range c.Routes {
		rows = append(rows, []string{"type " + name, "its route", "what its spec asks for; a push writes it"})
	}
	for _, p := range c.Faults {
		rows = append(rows, []string{fmt.Sprintf("%s:%d", p.File, p.Line), p.Message, cmp.Or(p.Hint, "mended")})
	}
	for _, p := range c.Unread {
		rows = append(rows, []string{"the newest specs", p.Message, cmp.Or(p.Hint, "in force")})
	}
	return rows
}
