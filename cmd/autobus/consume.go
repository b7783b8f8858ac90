// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

// consumeFlags is one consume command as it was typed.
type consumeFlags struct {
	app    *app
	types  []string
	group  string
	filter string
	from   string
	n      int
	exec   string
	ack    string
	window int

	fromGiven, nGiven, windowGiven bool
}

func (a *app) newConsumeCommand() *cobra.Command {
	c := &consumeFlags{app: a}
	cmd := &cobra.Command{
		Use:   "consume [TYPE|PATTERN...] -g GROUP",
		Short: "Work on the events of a subscription",
		Long: "Read events as a worker of a group: each event goes to one worker, and the group remembers what is done.\n" +
			"With types a group that is not there is made; without, it has to exist. One that exists goes on where it\n" +
			"stands, and is not changed.\n\n" +
			"An event is acked once it is written to stdout, where -o ndjson gives what publish --ndjson takes back.\n\n" +
			"With --exec stdout is the command's. A shell runs it for each event, with the event's data on stdin and\n" +
			"AUTOBUS_ID, _TYPE, _SOURCE, _SUBJECT, _TIME, _CONTENT_TYPE, _KEY (or _KEY_BASE64), _PARTITION, _OFFSET,\n" +
			"_ATTEMPT, _FENCE, _SUBSCRIPTION and _SERVER in its environment. Its exit status is the outcome: 0 acks; 65\n" +
			"rejects, so that the group's on_exhausted applies at once; any other asks for the event again, after the\n" +
			"group's backoff. 126 and 127 say that there is no such command, which ends consume. Up to --window commands\n" +
			"run side by side. They may take as long as they need; one whose event was taken away gets a SIGTERM.\n\n" +
			"With --ack manual nothing is acked: each line carries its lease, which anybody may settle before its deadline,\n" +
			"by ack, retry, skip, reject or extend:\n" +
			"  curl localhost:7070/v1/subscriptions/GROUP/acks -H 'Content-Type: application/json' \\\n" +
			"    -d '{\"results\": [{\"lease\": \"...\", \"outcome\": \"ack\"}]}'\n" +
			"The leases end with the command, and at most a window of them is open. With -n they outlive it.\n\n" +
			"What is in hand when the command is killed comes again: at once, or with --exec or -n, where no more events\n" +
			"are taken than are worked on, after the group's ack_wait.\n\n" +
			"Ends by Ctrl-C, which is exit status 0 here, once what it has in hand is done. When the bus goes down, it\n" +
			"connects again.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus consume orders.order.placed.v1 -g shipping\n" +
			"  autobus consume 'orders.*' -g shipping --from earliest --exec './ship.sh' --window 4\n" +
			"  autobus consume -g shipping -n 10 -o ndjson\n" +
			"  autobus consume -g shipping -o ndjson | autobus publish --ndjson --server http://other:7070",
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			given := cmd.Flags().Changed
			c.types = args
			c.fromGiven, c.nGiven, c.windowGiven = given("from"), given("number"), given("window")
			return c.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&c.group, "group", "g", "", "the subscription")
	f.StringVar(&c.filter, "filter", "", "of a new group: CEL over data, id, source, type, subject, time, key, ext")
	f.StringVar(&c.from, "from", "latest", "where a new group begins: latest, earliest, -1h, or a time")
	f.IntVarP(&c.n, "number", "n", 0, "end after this many events were settled; default: go on")
	f.StringVar(&c.exec, "exec", "", "run this for each event; its exit status is the outcome")
	f.StringVar(&c.ack, "ack", "auto", "auto, or manual: leave it to others")
	f.IntVar(&c.window, "window", 0, "most unsettled events; default: the group's, 1 with --exec")
	_ = cmd.RegisterFlagCompletionFunc("group", a.completeSubscriptions)
	return cmd
}

func (c *consumeFlags) check() error {
	switch {
	case c.group == "":
		return usage("no group").WithHint("Name the subscription: autobus consume TYPE... -g GROUP.")
	case len(c.types) == 0 && (c.filter != "" || c.fromGiven):
		return usage("--filter and --from are of a new group").
			WithHint("Name its types, or leave --filter and --from away.")
	case c.nGiven && c.n < 1:
		return usage("-n is %d", c.n).WithHint("Give a number from 1, or leave it away.")
	case c.windowGiven && (c.window < 1 || c.window > autobus.MaxWindowEvents):
		return usage("--window is %d", c.window).WithHint("Give a number from 1 to %d.", autobus.MaxWindowEvents)
	case c.ack != "auto" && c.ack != "manual":
		return usage("--ack is %q", c.ack).WithHint("Use auto or manual.")
	case c.ack == "manual" && c.exec != "":
		return usage("--exec with --ack manual").
			WithHint("The command's exit status is the outcome; leave --ack away.")
	}
	return nil
}

func (c *consumeFlags) run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	path, err := subscriptionPath(c.group)
	if err != nil {
		return err
	}
	api, err := c.app.api()
	if err != nil {
		return err
	}
	defer api.close()
	ackWait, err := c.open(ctx, api, path)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if c.window == 0 && c.exec != "" {
		c.window = 1
	}
	return newConsumer(c, api, path, ackWait).run(ctx)
}

// open finds the group, or makes it, and tells how long its leases live.
func (c *consumeFlags) open(ctx context.Context, api *api, path string) (time.Duration, error) {
	doc, err := c.find(ctx, api, path)
	if err != nil {
		return 0, err
	}
	s, err := readSubscription(doc)
	if err != nil {
		return 0, err
	}
	return time.Duration(s.Policy.WithDefaults().AckWait), nil
}

func (c *consumeFlags) find(ctx context.Context, api *api, path string) ([]byte, error) {
	if len(c.types) == 0 {
		doc, err := api.get(ctx, path, c.app.timeout)
		unknown := autobus.ReasonSubscriptionUnknown
		if e, ok := errors.AsType[*autobus.Error](err); ok && e.Reason == unknown && e.Hint == unknown.Info().Hint {
			e.Hint = "Check the name, or name the types to make it: autobus consume TYPE... -g " + c.group
		}
		return doc, err
	}
	pr := proposal{name: c.group, path: path, fields: []string{"types"},
		policy: autobus.Policy{Types: c.types, Filter: c.filter}}
	if c.filter != "" {
		pr.fields = append(pr.fields, "filter")
	}
	if c.fromGiven {
		pr.fields = append(pr.fields, "start")
	}
	if err := pr.begin(c.from); err != nil {
		return nil, err
	}
	doc, created, err := api.ensure(ctx, pr, c.app.timeout)
	if created {
		c.app.note("Made subscription %s, which begins at %s.", c.group, c.from)
	}
	return doc, err
}
