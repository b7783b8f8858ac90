// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/bus"
)

func (a *app) newSchedulesCommand() *cobra.Command {
	return group("schedules", "Look at events that are to be published later, and cancel them",
		"  autobus schedules list\n"+
			"  autobus schedules cancel 'orders.order.placed.v1~AZ2cVhQ...'",
		a.newSchedulesListCommand(), a.newSchedulesCancelCommand())
}

func (a *app) newSchedulesListCommand() *cobra.Command {
	var typ string
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "List what is scheduled, the next one first",
		Long: "List the events that are to be published later, the next one first: your own, and those of types that you\n" +
			"may manage.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus schedules list\n  autobus schedules list --type 'orders.*' -o ndjson | jq -r .id",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > bus.SchedulesMost {
				return usage("--limit is %d", limit).WithHint("Give a number from 1 to %d.", bus.SchedulesMost)
			}
			return a.listSchedules(cmd.Context(), url.Values{"type": {typ}, "limit": {fmt.Sprint(limit)}})
		},
	}
	c.Flags().StringVar(&typ, "type", "", "only of this type, or of those that this pattern matches")
	c.Flags().IntVar(&limit, "limit", bus.SchedulesDefault, "how many at most")
	return c
}

func (a *app) listSchedules(ctx context.Context, query url.Values) error {
	api, err := a.api()
	if err != nil {
		return err
	}
	defer api.close()
	doc, _, err := api.exchange(ctx, call{method: http.MethodGet, path: "/v1/schedules", query: query}, a.timeout)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.emit(doc)
	}
	var answer struct {
		Schedules []json.RawMessage
		More      bool
	}
	if err := json.Unmarshal(doc, &answer); err != nil {
		return unreadable("the schedules", err)
	}
	var rows [][]string
	for _, raw := range answer.Schedules {
		if a.output == "ndjson" {
			if err := a.emit(raw); err != nil {
				return err
			}
			continue
		}
		var s bus.Schedule
		if err := json.Unmarshal(raw, &s); err != nil {
			return unreadable("a schedule", err)
		}
		rows = append(rows, []string{stamp(s.At), s.Type, s.Key, s.EventID, s.Owner, s.ID})
	}
	switch {
	case a.output == "table" && len(rows) > 0:
		a.table([]string{"at", "type", "key", "event", "owner", "id"}, rows)
	case a.output == "table":
		a.note("Nothing is scheduled.")
	}
	if answer.More {
		a.note("There are more: --limit, --type.")
	}
	return nil
}

func (a *app) newSchedulesCancelCommand() *cobra.Command {
	o := &operator{app: a}
	c := &cobra.Command{
		Use:   "cancel ID",
		Short: "Cancel a scheduled event",
		Long: "Have a scheduled event not be published. Asks first. It fails when it is too late: up to a second before\n" +
			"the event is due it can be cancelled.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: "  autobus schedules cancel 'orders.order.placed.v1~AZ2cVhQ...'\n" +
			"  autobus schedules list -o ndjson | jq -r .id | xargs -n 1 autobus schedules cancel --yes",
		Args: named("schedule", "autobus schedules cancel ID", cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.cancelSchedule(cmd.Context(), args[0])
		},
	}
	o.yesFlag(c)
	return c
}

func (o *operator) cancelSchedule(ctx context.Context, id string) error {
	api, err := o.app.api()
	if err != nil {
		return err
	}
	defer api.close()
	o.app.note("The event of schedule %s will not be published.", printable(id))
	if err := o.confirm("Cancel it"); err != nil {
		return err
	}
	if _, _, err := api.exchange(ctx, call{method: http.MethodDelete, path: "/v1/schedules/" + url.PathEscape(id)},
		o.app.timeout); err != nil {
		return err
	}
	if o.app.output != "table" {
		return o.app.emitValue(map[string]any{"id": id, "cancelled": true})
	}
	o.app.note("Cancelled.")
	return nil
}
