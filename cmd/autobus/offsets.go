// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

func (a *app) newOffsetsCommand() *cobra.Command {
	return group("offsets", "Show where a subscription stands, and move it while its workers go on",
		"  autobus offsets show shipping\n"+
			"  autobus offsets reset shipping --to -1h --reason 'wrong rate since 14:00'\n"+
			"  autobus offsets skip shipping orders.order.placed.v1/3/1042",
		a.newOffsetsShowCommand(), a.newOffsetsExportCommand(), a.newOffsetsImportCommand(), a.newOffsetsResetCommand(),
		a.newOffsetsSkipCommand(), a.newOffsetsRetryCommand())
}

// positions is what export writes and import reads.
type positions struct {
	Subscription string                     `json:"subscription"`
	Cursors      map[string]map[int32]int64 `json:"cursors"`
}

func (a *app) newOffsetsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show where a subscription stands in each partition",
		Long: "Show where a subscription stands in each partition: where the log begins and ends, the position, before\n" +
			"which everything is done, what is not done, and what of it is parked. Positions are some seconds old.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example:           "  autobus offsets show shipping\n  autobus offsets show shipping -o json | jq .partitions",
		Args:              named("subscription", "autobus offsets show shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, lag, err := a.getLag(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.emit(doc)
			}
			var rows [][]string
			for _, p := range lag.Partitions {
				rows = append(rows, []string{p.Type, fmt.Sprint(p.Partition), fmt.Sprint(p.First), fmt.Sprint(p.Position),
					fmt.Sprint(p.End), fmt.Sprint(p.Undone), fmt.Sprint(p.Parked)})
			}
			a.table([]string{"type", "partition", "first", "position", "end", "undone", "parked"}, rows)
			return nil
		},
	}
}

func (a *app) newOffsetsExportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export NAME",
		Short: "Write where a subscription stands, for import",
		Long: "Write where a subscription stands to stdout, as JSON that import reads. What is parked stands before the\n" +
			"position: it is not in the file, and a note says how much it is.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example:           "  autobus offsets export shipping > shipping.json",
		Args:              named("subscription", "autobus offsets export shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, lag, err := a.getLag(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := positions{Subscription: lag.Name, Cursors: map[string]map[int32]int64{}}
			for _, p := range lag.Partitions {
				if out.Cursors[p.Type] == nil {
					out.Cursors[p.Type] = map[int32]int64{}
				}
				out.Cursors[p.Type][p.Partition] = p.Position
			}
			if lag.Parked > 0 {
				a.note("%s parked: an import of this passes over them.", count(int(lag.Parked), "event is", "events are"))
			}
			return a.emitIndented(out)
		},
	}
}

func (a *app) newOffsetsImportCommand() *cobra.Command {
	m := &mover{operator: operator{app: a}}
	cmd := &cobra.Command{
		Use:   "import NAME [FILE]",
		Short: "Move a subscription to positions that export wrote",
		Long: "Move a subscription to positions that export wrote, perhaps for another one that reads the same types.\n" +
			"FILE is - or absent for stdin. Partitions that it does not name stay where they are.\n\n" + moves +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: "  autobus offsets import shipping shipping.json --yes\n" +
			"  autobus offsets export shipping | autobus offsets import shipping-v2 --yes",
		Args:              named("subscription", "autobus offsets import shipping shipping.json", cobra.RangeArgs(1, 2)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "-"
			if len(args) > 1 {
				file = args[1]
			}
			from, err := a.readPositions(file)
			if err != nil {
				return err
			}
			return m.seek(cmd.Context(), args[0], autobus.Start{Cursors: from.Cursors})
		},
	}
	m.flags(cmd)
	return cmd
}

const writesPositions = "autobus offsets export NAME > FILE writes such a file."

func (a *app) readPositions(file string) (p positions, err error) {
	var raw []byte
	if file == "-" {
		raw, err = io.ReadAll(a.in)
	} else {
		raw, err = os.ReadFile(file)
	}
	if err != nil {
		return p, usage("the positions cannot be read: %s", err).WithHint("%s", writesPositions)
	}
	if err := json.Unmarshal(raw, &p); err != nil || len(p.Cursors) == 0 {
		return p, usage("%s has no positions", file).WithHint("%s", writesPositions)
	}
	return p, nil
}

func (a *app) newOffsetsResetCommand() *cobra.Command {
	m := &mover{operator: operator{app: a}}
	to := ""
	cmd := &cobra.Command{
		Use:   "reset NAME --to PLACE",
		Short: "Move a subscription to the earliest or latest events, or to a time",
		Long: "Move a subscription to the earliest or latest events, or to the first ones since a time.\n\n" + moves +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: "  autobus offsets reset shipping --to -1h --reason 'wrong rate since 14:00'\n" +
			"  autobus offsets reset shipping --to 2026-01-31T14:00:00Z --yes\n" +
			"  autobus offsets reset shipping --to latest --dry-run",
		Args:              named("subscription", "autobus offsets reset shipping --to -1h", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			start, err := resetPlace("--to", to)
			if err != nil {
				return err
			}
			return m.seek(cmd.Context(), args[0], start)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "where to: earliest, latest, -1h, or a time")
	m.flags(cmd)
	return cmd
}
