// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/bus"
)

func (a *app) newDLQCommand() *cobra.Command {
	return group("dlq", "Look at the dead letters of a subscription, redrive, edit or drop them",
		"  autobus dlq stats shipping\n"+
			"  autobus dlq list shipping --filter 'data.total > 100'\n"+
			"  autobus dlq redrive shipping 17",
		a.newDLQStatsCommand(), a.newDLQListCommand(), a.newDLQShowCommand(), a.newDLQExportCommand(),
		a.newDLQRedriveCommand(), a.newDLQDropCommand(), a.newDLQEditCommand())
}

// lettersPath is where the API has the dead letters of a subscription, or of what was scheduled.
func lettersPath(name string) (string, error) {
	if name == bus.Schedules {
		return "/v1/subscriptions/" + name + "/dead-letters", nil
	}
	path, err := subscriptionPath(name)
	return path + "/dead-letters", err
}

func (a *app) newDLQStatsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stats NAME",
		Short: "Count the dead letters of a subscription by reason",
		Long: "Count the dead letters of a subscription by reason and type. Reasons that differ in numbers, quoted\n" +
			"text and ids alone count as one; its fingerprint selects them in the other commands.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example:           "  autobus dlq stats shipping\n  autobus dlq stats shipping -o json | jq .count",
		Args:              named("subscription", "autobus dlq stats shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := lettersPath(args[0])
			if err != nil {
				return err
			}
			doc, err := a.getDoc(cmd.Context(), path+"/groups")
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.emit(doc)
			}
			var g bus.LetterGroups
			if err := json.Unmarshal(doc, &g); err != nil {
				return unreadable("the groups", err)
			}
			a.printLetterGroups(g)
			return nil
		},
	}
}

func (a *app) printLetterGroups(g bus.LetterGroups) {
	if g.Count == 0 {
		a.note("%s has no dead letters.", g.Subscription)
		return
	}
	var rows [][]string
	for _, k := range g.Groups {
		rows = append(rows, []string{fmt.Sprint(k.Count), k.Type, k.Fingerprint, stamp(k.First), stamp(k.Last),
			fmt.Sprint(k.Example), oneLine(k.Reason)})
	}
	a.table([]string{"count", "type", "fingerprint", "first", "last", "example", "reason"}, rows)
	if g.Skipped > 0 {
		a.note("%d older ones were not looked at.", g.Skipped)
	}
	if g.Retention != "" {
		a.note("%d in all, the oldest of %s; each is kept for %s.", g.Count, stamp(g.Oldest), g.Retention)
	}
}

func (a *app) newDLQShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME NUMBER",
		Short: "Show one dead letter with its event",
		Long: "Show one dead letter with its event, as JSON.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example:           "  autobus dlq show shipping 17\n  autobus dlq show shipping 17 | jq .event.data",
		Args:              named("subscription", "autobus dlq show shipping 17", cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := lettersPath(args[0])
			if err != nil {
				return err
			}
			if n, err := strconv.ParseInt(args[1], 10, 64); err != nil || n < 0 {
				return usage("%q is no number of a dead letter", args[1]).
					WithHint("autobus dlq list %s shows them in the first column.", args[0])
			}
			doc, err := a.getDoc(cmd.Context(), path+"/"+url.PathEscape(args[1]))
			if err != nil {
				return err
			}
			if a.output == "table" {
				a.output = "json"
			}
			return a.emit(doc)
		},
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) }

// oneLine keeps a reason within a row: only its first line, and not without end.
func oneLine(s string) string {
	const most = 100
	s, _, _ = strings.Cut(s, "\n")
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
