// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// app is what the commands share: the streams of the process and the global flags.
type app struct {
	in       io.Reader
	out, err io.Writer

	output    string
	color     string
	quiet     bool
	server    string
	token     string
	tokenFile string
	timeout   time.Duration

	started bool // a command's own code ran, so an error is not one of usage
}

const defaultTimeout = 15 * time.Second

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	a := &app{in: in, out: out, err: err}
	root := a.newRootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	return a.exit(ctx, root.ExecuteContext(ctx))
}

func (a *app) newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "autobus",
		Short: "An events bus in front of Kafka",
		Long: "autobus gives a company of many services one place to publish events and to read them, on top of\n" +
			"Apache Kafka.\n\n" + exitCodes(exitOK, exitFailed, exitUsage),
		Example: "  autobus dev\n  autobus publish demo.order.placed.v1 --example\n  autobus tail 'demo.*'\n" +
			"  autobus consume 'demo.*' -g shipping",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.started = true
			return a.checkGlobals(strings.Fields(cmd.Annotations[moreOutputs]))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q", args[0]).WithHint("Run autobus --help for the list.")
			}
			return cmd.Help()
		},
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "table", "form of the output: table, json or ndjson")
	f.StringVar(&a.color, "color", "auto", "colour: auto (a terminal, NO_COLOR unset), always or never")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no notes on stderr, errors only")
	f.StringVar(&a.server, "server", envOr("AUTOBUS_SERVER", "http://localhost:7070"),
		"address of the bus (AUTOBUS_SERVER)")
	f.StringVar(&a.token, "token", "", "token to show to the bus (AUTOBUS_TOKEN)")
	f.StringVar(&a.tokenFile, "token-file", "", "file that holds the token (AUTOBUS_TOKEN_FILE)")
	f.DurationVar(&a.timeout, "timeout", defaultTimeout, "how long to wait for an answer")

	root.AddCommand(
		a.newDevCommand(),
		a.newServeCommand(),
		a.newPublishCommand(),
		a.newTailCommand(),
		a.newConsumeCommand(),
		a.newRequestCommand(), a.newReplyCommand(), a.newBridgeCommand(),
		a.newSubscriptionCommand(), a.newWhyCommand(), a.newOffsetsCommand(), a.newReplayCommand(),
		a.newDLQCommand(), a.newJobCommand(), a.newSchedulesCommand(),
		a.newOutboxCommand(),
		a.newTypesCommand(),
		a.newSpecCommand(),
		a.newSinkCommand(),
		a.newTokenCommand(),
		a.newClusterCommand(),
		a.newDoctorCommand(),
		a.newBenchCommand(),
		a.newVersionCommand(),
		a.newCompletionCommand(),
	)
	return root
}

// moreOutputs annotates a command with the forms of output that only it has.
const moreOutputs = "outputs"

func (a *app) checkGlobals(more []string) error {
	if forms := append([]string{"table", "json", "ndjson"}, more...); !slices.Contains(forms, a.output) {
		last := len(forms) - 1
		return usage("--output is %q", a.output).
			WithHint("Use %s or %s.", strings.Join(forms[:last], ", "), forms[last])
	}
	switch a.color {
	case "auto", "always", "never":
	default:
		return usage("--color is %q", a.color).WithHint("Use auto, always or never.")
	}
	if a.timeout <= 0 {
		return usage("--timeout is %s", a.timeout).WithHint("Give a positive duration such as 15s.")
	}
	return nil
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// group makes a noun that only holds verbs.
func group(use, short, example string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:     use,
		Short:   short,
		Long:    short + ".\n\n" + exitCodes(exitOK, exitFailed, exitUsage),
		Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("%s has no command %q", cmd.CommandPath(), args[0]).
					WithHint("Its commands: %s.", strings.Join(verbNames(cmd), ", "))
			}
			return cmd.Help()
		},
	}
	c.AddCommand(verbs...)
	return c
}

// named says what is missing where a command has no arguments; check judges those it has.
func named(what, example string, check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("no %s", what).WithHint("Name it: %s", example)
		}
		return check(cmd, args)
	}
}

func verbNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return names
}
