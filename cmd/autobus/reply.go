// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os/exec"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/ipc"
)

// replyFlags is one reply command as it was typed.
type replyFlags struct {
	app     *app
	typ     string
	exec    string
	echo    bool
	group   string
	failure string
	workers int
	count   int
}

func (a *app) newReplyCommand() *cobra.Command {
	r := &replyFlags{app: a}
	cmd := &cobra.Command{
		Use:   "reply TYPE",
		Short: "Answer the requests of a type",
		Long: "Answer the requests of a type by a command: it gets the data on stdin and the rest as AUTOBUS_ID,\n" +
			"AUTOBUS_TYPE, AUTOBUS_SOURCE, AUTOBUS_ATTEMPT and AUTOBUS_DEADLINE; what it prints is the reply. Its exit\n" +
			"status says what it is: 0 the answer, 65 the error --error, anything else that there is none, which is told\n" +
			"to the caller.\n\n" +
			"Without -g the subscription has the name of the type and is made if there is none. Ends by Ctrl-C.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitInterrupted),
		Example: "  autobus reply pricing.quote.price.v1 --echo\n" +
			"  autobus reply pricing.quote.price.v1 --exec './price.sh' -g pricing",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.typ = args[0]
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.exec, "exec", "", "command that answers, run by sh -c")
	f.BoolVar(&r.echo, "echo", false, "answer with the request's own data")
	f.StringVarP(&r.group, "group", "g", "", "subscription to answer for, which has to exist; default: the type's name")
	f.StringVar(&r.failure, "error", "rejected", "name of the declared error that exit status 65 means")
	f.IntVar(&r.workers, "workers", 1, "commands at a time")
	f.IntVar(&r.count, "count", 0, "end after so many answers; 0: go on")
	return cmd
}

func (r *replyFlags) run(ctx context.Context) error {
	switch {
	case (r.exec == "") != r.echo:
		return usage("nothing to answer with").WithHint("Give one of --exec 'COMMAND' and --echo.")
	case r.workers < 1, r.count < 0:
		return usage("--workers is %d, --count %d", r.workers, r.count).WithHint("Give a worker at least.")
	}
	bus, hangUp, err := r.app.dial(ctx, "autobus-cli", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer hangUp()
	return r.work(ctx, bus)
}

func (r *replyFlags) work(ctx context.Context, bus autobus.Bus) error {
	w := autobus.Worker{Bus: bus, Subscription: r.group, Workers: r.workers, Logger: slog.New(slog.DiscardHandler),
		Ready: func(is bool) {
			if is {
				r.app.note("answering %s", r.typ)
			}
		}}
	if r.group == "" {
		w.Subscription, w.Create = r.typ, &autobus.Policy{Types: []string{r.typ}}
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	left := r.count
	w.Hooks = []autobus.Hooks{{
		Error: func(_ context.Context, d *autobus.Delivery, err error) { r.app.note("%s: %s", d.ID, err) },
		After: func(_ context.Context, _ *autobus.Delivery, o autobus.Outcome) {
			if o.Kind == autobus.Ack && r.count > 0 {
				if left--; left <= 0 {
					stop()
				}
			}
		}}}
	if r.count > 0 {
		w.Workers, w.Window = 1, &autobus.Window{Events: 1}
	}
	w.Handle = ipc.Answer(bus, w.Subscription, r.answer)
	if err := w.Run(working); err != nil {
		return err
	}
	return ctx.Err()
}

// answer answers one request.
func (r *replyFlags) answer(ctx context.Context, q *ipc.Request) (any, error) {
	if r.echo {
		return ipc.Raw{ContentType: q.ContentType, Data: q.Data}, nil
	}
	env := []string{"AUTOBUS_ID=" + withoutNUL(q.ID), "AUTOBUS_TYPE=" + q.Type,
		"AUTOBUS_SOURCE=" + withoutNUL(q.Source), "AUTOBUS_ATTEMPT=" + strconv.Itoa(q.Attempt)}
	if until := q.Expiry(); !until.IsZero() {
		env = append(env, "AUTOBUS_DEADLINE="+until.Format(time.RFC3339Nano))
	}
	cmd := shell(ctx, r.exec, env)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(q.Data), &out, r.app.err
	err := cmd.Run()
	answer := ipc.Raw{ContentType: "application/json", Data: bytes.TrimRight(out.Bytes(), "\n")}
	if !json.Valid(answer.Data) {
		answer.ContentType = "text/plain"
	}
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ended.ExitCode() == exitReject {
		return nil, &ipc.Error{Name: r.failure, Data: answer}
	}
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonResponderFailed, "the command ended with %s", err)
	}
	return answer, nil
}
