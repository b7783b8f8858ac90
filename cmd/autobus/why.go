// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/doctor"
)

func (a *app) newWhyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "why NAME",
		Short: "Say why a subscription does not move",
		Long: "Say why a subscription does not move: one line with the verdict, the oldest event that is not done, and\n" +
			"what was found, each with the next command. Where something is undone and nothing is wrong at first sight,\n" +
			"it watches for 1.5 s whether anything ends. Another instance may have the partitions: then it says which\n" +
			"to ask.\n\n" +
			"Status 0: it moves, or there is nothing to do. Status 3: it does not move, or a part of it does not.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus why shipping\n" +
			"  autobus why shipping -o json | jq -r .verdict",
		Args:              named("subscription", "autobus why shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := subscriptionPath(args[0])
			if err != nil {
				return err
			}
			doc, err := a.getDoc(cmd.Context(), path+"/why")
			if err != nil {
				return err
			}
			var w bus.Why
			if err := json.Unmarshal(doc, &w); err != nil {
				return unreadable("the answer", err)
			}
			if a.output != "table" {
				err = a.emit(doc)
			} else {
				a.printWhy(&w)
			}
			if err == nil && w.Verdict != bus.WhyOK {
				err = &exitError{code: exitFound}
			}
			return err
		},
	}
}

func (a *app) printWhy(w *bus.Why) {
	color := red
	if w.Verdict == bus.WhyOK {
		color = green
	}
	verdict := strings.ReplaceAll(w.Verdict, "_", " ")
	fmt.Fprintf(a.out, "%s %s\n", a.paint(a.out, color, verdict+":"), oneLine(w.Summary))
	if w.Oldest != nil {
		fmt.Fprintf(a.out, "oldest undone: %s\n", oldestLine(w.Oldest))
	}
	if w.Owner != "" {
		fmt.Fprintf(a.out, "owner: %s\n", oneLine(w.Owner))
	}
	var rows [][]string
	for _, f := range w.Findings {
		rows = append(rows, []string{a.severity(doctor.Severity(f.Severity)), f.Check, f.Where, oneLine(f.What),
			f.Fix})
	}
	fmt.Fprintln(a.out)
	a.table([]string{"", "check", "where", "found", "next"}, rows)
}

func oldestLine(o *bus.UndoneEvent) string {
	parts := []string{fmt.Sprintf("%s/%d/%d", o.Type, o.Partition, o.Offset)}
	add := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(o.ID != "", "id %s", oneLine(o.ID))
	add(o.Key != "", "key %q", oneLine(o.Key))
	add(!o.Since.IsZero(), "since %s", stamp(o.Since))
	add(o.State != "elsewhere", "%s", o.State)
	add(o.Parked, "parked")
	add(o.Attempts > 0, "attempts: %d", o.Attempts)
	add(o.LastError != "", "last error: %s", oneLine(o.LastError))
	ends := "again in"
	if o.State == "leased" {
		ends = "lease ends in"
	}
	add(!o.Next.IsZero(), "%s %s", ends, max(0, time.Until(o.Next)).Round(time.Second))
	return strings.Join(parts, ", ")
}
