// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

func (a *app) newSubscriptionCommand() *cobra.Command {
	c := group("subscription", "Look at subscriptions, make, pause and delete them",
		"  autobus subscription list\n"+
			"  autobus subscription create shipping --type 'orders.*'\n"+
			"  autobus subs lag shipping",
		a.newSubscriptionListCommand(), a.newSubscriptionDescribeCommand(), a.newSubscriptionLagCommand(),
		a.newSubscriptionCreateCommand(), a.newSubscriptionPauseCommand(), a.newSubscriptionResumeCommand(),
		a.newSubscriptionDeleteCommand())
	c.Aliases = []string{"subs"}
	return c
}

func (a *app) newSubscriptionListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the subscriptions that you may know of",
		Long: "List the subscriptions that you may know of.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus subscription list\n  autobus subs list -o ndjson | jq -r .name",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := a.getDoc(cmd.Context(), "/v1/subscriptions")
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.emit(doc)
			}
			var answer struct{ Subscriptions []json.RawMessage }
			if err := json.Unmarshal(doc, &answer); err != nil {
				return unreadable("the answer", err)
			}
			var rows [][]string
			for _, raw := range answer.Subscriptions {
				if a.output == "ndjson" {
					if err := a.emit(raw); err != nil {
						return err
					}
					continue
				}
				s, err := readSubscription(raw)
				if err != nil {
					return err
				}
				rows = append(rows, []string{s.Name, s.State, strings.Join(s.Types, " "), s.Filter, s.Owner, s.ManagedBy})
			}
			if a.output == "table" {
				a.table([]string{"name", "state", "types", "filter", "owner", "managed by"}, rows)
			}
			return nil
		},
	}
}

func readSubscription(doc []byte) (s bus.SubscriptionInfo, err error) {
	if err := json.Unmarshal(doc, &s); err != nil {
		return s, unreadable("the subscription", err)
	}
	return s, nil
}

// subscriptionPath is where the API has a subscription. A name that none can have is refused here: it might lead
// elsewhere.
func subscriptionPath(name string) (string, error) {
	if !autobus.ValidSubscription(name) {
		return "", usage("%q cannot name a subscription", name).
			WithHint("Use a letter of a-z, then up to 120 of a-z, 0-9, '.', '_' and '-'.")
	}
	return "/v1/subscriptions/" + url.PathEscape(name), nil
}

func (a *app) newSubscriptionDescribeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "describe NAME",
		Aliases: []string{"show"},
		Short:   "Show one subscription: its policy, and what the instance that answers has of it",
		Long: "Show one subscription: its policy, and what the instance that answers has of it.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example:           "  autobus subscription describe shipping\n  autobus subs describe shipping -o json",
		Args:              named("subscription", "autobus subscription describe shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := subscriptionPath(args[0])
			if err != nil {
				return err
			}
			doc, err := a.getDoc(cmd.Context(), path)
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.emit(doc)
			}
			s, err := readSubscription(doc)
			if err != nil {
				return err
			}
			return a.describe(&s)
		},
	}
}

func (a *app) describe(s *bus.SubscriptionInfo) error {
	start, err := json.Marshal(s.Start)
	if err != nil {
		return err
	}
	p := s.Policy.WithDefaults()
	var waits []string
	for _, d := range p.Retry.Backoff {
		waits = append(waits, d.String())
	}
	retry := fmt.Sprintf("%d attempts, after %s", p.Retry.MaxAttempts, strings.Join(waits, ", "))
	if p.Retry.MaxTime > 0 {
		retry += fmt.Sprintf(", within %s", p.Retry.MaxTime)
	}
	var rows [][]string
	for _, row := range [][2]string{
		{"name", s.Name}, {"state", s.State}, {"paused", pausedBy(s.Paused)}, {"managed by", s.ManagedBy}, {"owner", s.Owner},
		{"types", strings.Join(s.Types, " ")}, {"filter", s.Filter}, {"params", params(s.Params)},
		{"start", strings.Trim(string(start), `"`)}, {"order", orderOf(&p)},
		{"window", fmt.Sprintf("%d events, %d bytes", p.Window.Events, p.Window.Bytes)},
		{"ack wait", p.AckWait.String()}, {"retry", retry}, {"on exhausted", string(p.OnExhausted)},
		{"push", pushedTo(p.Delivery.Push)},
		{"created", s.Created.Format(time.RFC3339)},
	} {
		if row[1] != "" {
			rows = append(rows, []string{row[0], row[1]})
		}
	}
	for _, r := range s.Replays {
		rows = append(rows, []string{"replay " + r.ID, fmt.Sprintf("%s, %d of %d offsets, %s to %s", r.State, r.Done, r.Total,
			r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))})
	}
	if s.Push != nil {
		rows = append(rows, []string{"pushing here", pushGoes(s.Push)})
	}
	if i := s.Instance; i != nil {
		rows = append(rows, []string{"this instance", fmt.Sprintf("%d sessions, %d leased, %d ready, %d waiting", i.Sessions,
			i.Leased, i.Ready, i.Waiting)})
		for _, part := range i.Partitions {
			text := fmt.Sprintf("position %d, %d undone", part.Position, part.Undone)
			if part.Lost {
				text += ", position lost to retention"
			}
			rows = append(rows, []string{fmt.Sprintf("%s/%d", part.Type, part.Partition), text})
		}
	}
	a.table([]string{"field", "value"}, rows)
	return nil
}

// orderOf is the order, and that it comes of being a queue.
func orderOf(p *autobus.Policy) string {
	if p.Queue {
		return string(p.Order) + " (a queue)"
	}
	return string(p.Order)
}

// pausedBy says who paused a subscription, when and why.
func pausedBy(p *bus.PausedInfo) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("since %s by %s", p.Since.Format(time.RFC3339), p.By)
	if p.Event != nil {
		text += fmt.Sprintf(", at %s/%d/%d", p.Event.Type, p.Event.Partition, p.Event.Offset)
	}
	if p.Reason != "" {
		text += ": " + oneLine(p.Reason)
	}
	return text
}

func params(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	text, _ := json.Marshal(m) // strings by strings
	return string(text)
}

// completeSubscription offers names for an argument that stands once.
func (a *app) completeSubscription(
	cmd *cobra.Command, args []string, prefix string,
) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeSubscriptions(cmd, args, prefix)
}

// completeSubscriptions offers names to a shell. It stays silent when the bus does not answer at once.
func (a *app) completeSubscriptions(
	cmd *cobra.Command, _ []string, prefix string,
) ([]string, cobra.ShellCompDirective) {
	var answer struct{ Subscriptions []bus.SubscriptionInfo }
	if !a.suggest(cmd, "/v1/subscriptions", &answer) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, s := range answer.Subscriptions {
		if strings.HasPrefix(s.Name, prefix) {
			out = append(out, s.Name+"\t"+cmp.Or(s.Owner, strings.Join(s.Types, " ")))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
