// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) newSubscriptionPauseCommand() *cobra.Command {
	return a.newSwitchCommand("pause", "Let a subscription hand nothing out until it is resumed",
		"Let a subscription hand nothing out, on all instances and within a second, until it is resumed. Workers stay\n"+
			"connected and settle what they have; nothing is lost, retention goes on.", "Paused.")
}

func (a *app) newSubscriptionResumeCommand() *cobra.Command {
	return a.newSwitchCommand("resume", "Let a subscription go on that was paused or stopped",
		"Let a subscription go on that was paused, or that was stopped by an event without attempts left: that one is\n"+
			"tried once more, unless it was skipped.", "Resumed.")
}

func (a *app) newSwitchCommand(verb, short, long, done string) *cobra.Command {
	o := &operator{app: a}
	cmd := &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Long: long + " Who did it, and why, is kept for ever.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus subscription " + verb + " shipping\n" +
			"  autobus subs " + verb + " shipping --reason 'the depot is closed'",
		Args:              named("subscription", "autobus subscription "+verb+" shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.switchOver(cmd.Context(), args[0], verb, done)
		},
	}
	o.reasonFlag(cmd)
	return cmd
}

func (o *operator) switchOver(ctx context.Context, name, verb, done string) error {
	path, err := subscriptionPath(name)
	if err != nil {
		return err
	}
	c, err := o.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	doc, _, err := c.sendJSON(ctx, http.MethodPost, path+"/"+verb, map[string]any{"reason": o.reason}, o.app.timeout)
	if err != nil {
		return err
	}
	if o.app.output != "table" {
		return o.app.emit(doc)
	}
	s, err := readSubscription(doc)
	if err != nil {
		return err
	}
	if p := s.Paused; p != nil && o.reason != p.Reason {
		o.app.note("It is %s since %s, by %s.", s.State, p.Since.Format(time.RFC3339), p.By)
		return nil
	}
	o.app.note("%s", done)
	return nil
}
