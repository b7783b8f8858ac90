// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/bus"
)

func (a *app) newSubscriptionLagCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lag NAME",
		Short: "Show how far a subscription is behind",
		Long: "Show how far a subscription is behind: for each partition its position, before which everything is done,\n" +
			"the end of the log, the events between, and those of them that are not done. Positions are some seconds\n" +
			"old.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example:           "  autobus subscription lag shipping\n  autobus subs lag shipping -o ndjson | jq .undone",
		Args:              named("subscription", "autobus subscription lag shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, lag, err := a.getLag(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.emit(doc)
			}
			a.printLag(lag)
			return nil
		},
	}
}

// getLag asks for the lag of a subscription. doc is what the bus answered.
func (a *app) getLag(ctx context.Context, name string) (doc []byte, lag bus.Lag, err error) {
	path, err := subscriptionPath(name)
	if err != nil {
		return nil, lag, err
	}
	if doc, err = a.getDoc(ctx, path+"/lag"); err != nil {
		return nil, lag, err
	}
	lag, err = readLag(doc)
	return doc, lag, err
}

func readLag(doc []byte) (lag bus.Lag, err error) {
	if err := json.Unmarshal(doc, &lag); err != nil {
		return lag, unreadable("the lag", err)
	}
	return lag, nil
}

func (a *app) printLag(lag bus.Lag) {
	var rows [][]string
	for _, p := range lag.Partitions {
		rows = append(rows, []string{p.Type, fmt.Sprint(p.Partition), fmt.Sprint(p.Position), fmt.Sprint(p.End),
			fmt.Sprint(p.Behind), fmt.Sprint(p.Undone)})
		if p.Lost {
			a.note("Retention deleted events of %s/%d from offset %d on before they were read.", p.Type, p.Partition,
				p.Position)
		}
	}
	rows = append(rows, []string{"total", "", "", "", fmt.Sprint(lag.Behind), fmt.Sprint(lag.Undone)})
	a.table([]string{"type", "partition", "position", "end", "behind", "undone"}, rows)
}
