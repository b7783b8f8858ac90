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

// letterFlags select dead letters.
type letterFlags struct {
	fingerprint string
	filter      string
	from        int64
	limit       int
}

func (f *letterFlags) add(c *cobra.Command, limit int) {
	c.Flags().StringVar(&f.fingerprint, "fingerprint", "", "only those with this kind of reason, see autobus dlq stats")
	c.Flags().StringVar(&f.filter, "filter", "", "only those whose event passes this CEL expression")
	c.Flags().Int64Var(&f.from, "from", 0, "number of the first one to look at")
	c.Flags().IntVar(&f.limit, "limit", limit, "how many at most; 0 = all")
}

func (a *app) newDLQListCommand() *cobra.Command {
	var f letterFlags
	c := &cobra.Command{
		Use:   "list NAME",
		Short: "List the dead letters of a subscription, the oldest first",
		Long: "List the dead letters of a subscription, the oldest first. The number in the first column names one.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus dlq list shipping\n" +
			"  autobus dlq list shipping --filter 'type == \"orders.order.placed.v1\" && data.total > 100'\n" +
			"  autobus dlq list shipping --limit 0 -o ndjson | jq -r .id",
		Args:              named("subscription", "autobus dlq list shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			all := []json.RawMessage{}
			var rows [][]string
			next, err := a.eachLetter(cmd.Context(), args[0], f, false, func(raw json.RawMessage, l *bus.DeadLetter) error {
				switch a.output {
				case "ndjson":
					return a.emit(raw)
				case "json":
					all = append(all, raw)
				default:
					rows = append(rows, []string{fmt.Sprint(l.Number), l.Type, l.ID, l.Key, fmt.Sprint(l.Attempts),
						stamp(l.Last), oneLine(l.Reason)})
				}
				return nil
			})
			if err != nil {
				return err
			}
			switch {
			case a.output == "json":
				return a.emitValue(all)
			case a.output == "table" && len(rows) > 0:
				a.table([]string{"number", "type", "id", "key", "attempts", "last", "reason"}, rows)
			case a.output == "table":
				a.note("%s has no such dead letters.", args[0])
			}
			if next != nil {
				a.note("There are more: --from %d, or --limit 0.", *next)
			}
			return nil
		},
	}
	f.add(c, bus.LettersDefault)
	return c
}

func (a *app) newDLQExportCommand() *cobra.Command {
	var f letterFlags
	c := &cobra.Command{
		Use:   "export NAME",
		Short: "Write dead letters with their events, one JSON object per line",
		Long: "Write the dead letters of a subscription with their events, one JSON object per line, the oldest first.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus dlq export shipping >dead.ndjson\n" +
			"  autobus dlq export shipping --fingerprint 9ae16a3b2f90404f | jq -c .event.data",
		Args:              named("subscription", "autobus dlq export shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := a.eachLetter(cmd.Context(), args[0], f, true, func(raw json.RawMessage, _ *bus.DeadLetter) error {
				a.output = "ndjson"
				return a.emit(raw)
			})
			return err
		},
	}
	f.add(c, 0)
	return c
}

// eachLetter asks for dead letters, page by page, up to the limit. next is where there may be more.
func (a *app) eachLetter(ctx context.Context, name string, f letterFlags, events bool,
	each func(json.RawMessage, *bus.DeadLetter) error) (next *int64, err error) {
	path, err := lettersPath(name)
	if err != nil {
		return nil, err
	}
	if f.limit < 0 || f.from < 0 {
		return nil, usage("--limit and --from cannot be negative").WithHint("Leave them away for the first %d.",
			bus.LettersDefault)
	}
	api, err := a.api()
	if err != nil {
		return nil, err
	}
	defer api.close()
	query := url.Values{"fingerprint": {f.fingerprint}, "filter": {f.filter}, "events": {fmt.Sprint(events)}}
	for got := 0; ; {
		most := bus.LettersMost
		if f.limit > 0 {
			most = min(most, f.limit-got)
		}
		query.Set("from", fmt.Sprint(f.from))
		query.Set("limit", fmt.Sprint(most))
		doc, _, err := api.exchange(ctx, call{method: http.MethodGet, path: path, query: query}, a.timeout)
		if err != nil {
			return nil, err
		}
		var page struct {
			Letters []json.RawMessage `json:"dead_letters"`
			Next    *int64            `json:"next"`
		}
		if err := json.Unmarshal(doc, &page); err != nil {
			return nil, unreadable("the dead letters", err)
		}
		for _, raw := range page.Letters {
			var l bus.DeadLetter
			if err := json.Unmarshal(raw, &l); err != nil {
				return nil, unreadable("a dead letter", err)
			}
			if err := each(raw, &l); err != nil {
				return nil, err
			}
		}
		got += len(page.Letters)
		if page.Next == nil || f.limit > 0 && got >= f.limit {
			return page.Next, nil
		}
		f.from = *page.Next
	}
}
