// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

// subscriptionFlags is one create command as it was typed.
type subscriptionFlags struct {
	app         *app
	from        string
	policy      autobus.Policy
	order       string
	ordered     bool // it was named
	window      int
	ackWait     time.Duration
	onExhausted string
	push        pushFlags
}

func (a *app) newSubscriptionCreateCommand() *cobra.Command {
	s := &subscriptionFlags{app: a}
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a subscription",
		Long: "Make a subscription: a group that remembers where it stands and whose workers share its events. One that\n" +
			"exists with this policy is left as it is; one with another policy is not changed, and that is an error.\n\n" +
			"--from is resolved to places in the log now, once and for all.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus subscription create shipping --type 'orders.*' --from earliest\n" +
			"  autobus subscription create bob-kz --type orders.order.placed.v1 --filter \"data.country == 'kz'\" \\\n" +
			"    --ack-wait 2m --max-attempts 5 --owner bob\n" +
			"  autobus subscription create mails --type orders.order.placed.v1 --queue\n" +
			"  autobus subscription create mails --type orders.order.placed.v1 --push https://mails.example/events \\\n" +
			"    --secret-file mails",
		Args: named("subscription", "autobus subscription create shipping --type 'orders.*'", cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.ordered = cmd.Flags().Changed("order")
			s.push.note(cmd)
			return s.create(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&s.policy.Types, "type", nil, "type or pattern to read; may be repeated")
	f.StringVar(&s.policy.Filter, "filter", "", "CEL expression over data, id, source, type, subject, time, key, ext")
	f.StringVar(&s.from, "from", "latest", "where to begin: latest, earliest, -1h, or a time")
	f.StringVar(&s.order, "order", string(autobus.OrderKey), "which events wait for which: key, partition or none")
	f.BoolVar(&s.policy.Queue, "queue", false, "work in no order, each event again when its worker asks: --order none")
	f.IntVar(&s.window, "window", autobus.DefaultEvents, "most unsettled events of one worker; 1 is lock-step")
	f.DurationVar(&s.ackWait, "ack-wait", time.Duration(autobus.DefaultAckWait), "how long a worker has for an event")
	f.IntVar(&s.policy.Retry.MaxAttempts, "max-attempts", autobus.DefaultAttempts, "how often an event is tried")
	f.StringVar(&s.onExhausted, "on-exhausted", string(autobus.ToDeadLetters),
		"what becomes of an event without attempts left: dlq, hold, drop or stop")
	f.StringVar(&s.policy.Owner, "owner", "", "whom to tell when it does not go on")
	s.push.flags(f)
	_ = cmd.RegisterFlagCompletionFunc("type", a.completeTypes)
	return cmd
}

// check turns the flags into a policy.
func (s *subscriptionFlags) check() (proposal, error) {
	pr := proposal{}
	switch {
	case len(s.policy.Types) == 0:
		return pr, usage("no type").WithHint("Name it: --type 'orders.*'.")
	case s.policy.Retry.MaxAttempts == 0:
		return pr, usage("--max-attempts is 0").WithHint("Give a number from 1 to %d.", autobus.MaxAttempts)
	case s.ackWait == 0:
		return pr, usage("--ack-wait is 0s").WithHint("Give a duration from %s to %s.", autobus.MinAckWait,
			autobus.MaxAckWait)
	case s.window < 1:
		return pr, usage("--window is %d", s.window).WithHint("Give a number from 1.")
	}
	pr.policy = s.policy
	if s.policy.Queue && !s.ordered {
		s.order = ""
	}
	pr.policy.Order, pr.policy.OnExhausted = autobus.Order(s.order), autobus.OnExhausted(s.onExhausted)
	pr.policy.AckWait = autobus.Duration(s.ackWait)
	pr.policy.Window = &autobus.Window{Events: s.window}
	var err error
	if pr.policy.Delivery, err = s.push.delivery(); err != nil {
		return pr, err
	}
	if err := pr.begin(s.from); err != nil {
		return pr, err
	}
	if err := pr.policy.Check(); err != nil {
		return pr, &exitError{code: exitUsage, err: err}
	}
	return pr, nil
}

func (s *subscriptionFlags) create(cmd *cobra.Command, name string) error {
	path, err := subscriptionPath(name)
	if err != nil {
		return err
	}
	pr, err := s.check()
	if err != nil {
		return err
	}
	pr.name, pr.path = name, path
	c, err := s.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	doc, created, err := c.ensure(cmd.Context(), pr, s.app.timeout)
	if err != nil {
		return err
	}
	if s.app.output != "table" {
		return s.app.emit(doc)
	}
	if !created {
		s.app.note("Subscription %s exists with this policy; nothing was changed.", name)
		return nil
	}
	s.app.note("Made subscription %s, which begins at %s.", name, s.from)
	if s.push.url != "" {
		s.app.note("Its events are posted to %s; autobus subscription describe %s shows how that goes.", s.push.url, name)
	}
	return nil
}

func (a *app) newSubscriptionDeleteCommand() *cobra.Command {
	o := &operator{app: a}
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a subscription and the place where it stands",
		Long: "Delete a subscription and the place where it stands. Shows what is not done yet and asks first. Its\n" +
			"workers are told; its dead letters stay.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: "  autobus subscription delete shipping\n" +
			"  autobus subscription delete shipping --yes --reason 'moved to shipping-v2'",
		Args:              named("subscription", "autobus subscription delete shipping", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeSubscription,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.deleteSubscription(cmd.Context(), args[0])
		},
	}
	o.yesFlag(cmd)
	o.reasonFlag(cmd)
	return cmd
}

func (o *operator) deleteSubscription(ctx context.Context, name string) error {
	path, err := subscriptionPath(name)
	if err != nil {
		return err
	}
	c, err := o.app.api()
	if err != nil {
		return err
	}
	defer c.close()
	if err := o.previewDelete(ctx, c, path); err != nil {
		return err
	}
	if err := o.confirm("Delete it"); err != nil {
		return err
	}
	request := call{method: http.MethodDelete, path: path}
	if o.reason != "" {
		request.query = url.Values{"reason": {o.reason}}
	}
	if _, _, err := c.exchange(ctx, request, o.app.timeout); err != nil {
		return err
	}
	if o.app.output != "table" {
		return o.app.emitValue(map[string]any{"name": name, "deleted": true})
	}
	o.app.note("Deleted.")
	return nil
}

// previewDelete shows what a deletion loses.
func (o *operator) previewDelete(ctx context.Context, c *api, path string) error {
	doc, err := c.get(ctx, path, o.app.timeout)
	if err != nil {
		return err
	}
	s, err := readSubscription(doc)
	if err != nil {
		return err
	}
	if s.ManagedBy != "" {
		return autobus.NewError(autobus.ReasonManagedBySpec, "subscription %s is declared in %s", s.Name, s.ManagedBy)
	}
	if doc, err = c.get(ctx, path+"/lag", o.app.timeout); err != nil {
		return err
	}
	lag, err := readLag(doc)
	if err != nil {
		return err
	}
	o.app.note("Subscription %s is lost with its place; events not done: %d.", s.Name, lag.Undone)
	for _, p := range lag.Partitions {
		o.app.note("  %s/%d: position %d of %d, not done: %d", p.Type, p.Partition, p.Position, p.End, p.Undone)
	}
	if i := s.Instance; i != nil && i.Sessions > 0 {
		o.app.note("  %s here and now", count(i.Sessions, "worker reads it", "workers read it"))
	}
	return nil
}

// count says a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
