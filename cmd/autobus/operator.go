// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// operator is what the commands of the platform's people share: they work on the cluster itself, with the rights that
// the configuration gives, whether an instance runs or not.
type operator struct {
	app    *app
	config string
	yes    bool
	reason string
}

func (o *operator) configFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.config, "config", "", "configuration of serve (AUTOBUS_CONFIG)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

func (o *operator) yesFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do it without asking")
}

func (o *operator) reasonFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the audit trail")
}

// cluster is an opened cluster; close it.
type cluster struct {
	log     *kafka.Log
	config  *config
	closers []func()
}

// open connects as the configuration says.
func (o *operator) open(ctx context.Context) (*cluster, error) {
	if o.config == "" {
		o.config = os.Getenv("AUTOBUS_CONFIG")
	}
	if o.config == "" {
		return nil, usage("no configuration, so no cluster").
			WithHint("Give --config FILE as for serve. A bus started by dev needs none of this: it is prepared at its " +
				"start, and auth is off.")
	}
	cfg, p, err := loadConfig(o.config, nil)
	if err != nil {
		return nil, err
	}
	k := cfg.openKafka(p)
	if err := p.err(); err != nil {
		return nil, err
	}
	c, err := o.connect(ctx, k)
	if err == nil {
		c.config = cfg
	}
	return c, err
}

// connect opens the cluster that k names.
func (o *operator) connect(ctx context.Context, k kafka.Config) (*cluster, error) {
	k.ClientID = "autobus-cli"
	k.Logger = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(ctx, o.app.timeout)
	defer cancel()
	log, err := kafka.Open(ctx, k)
	if err != nil {
		return nil, err
	}
	c := &cluster{log: log}
	c.closers = append(c.closers, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		// Every change was waited for, so nothing is in flight that a failed flush could lose.
		_ = log.Close(closing)
	})
	return c, nil
}

// control opens the cluster's control log and follows it until close.
func (c *cluster) control(ctx context.Context) (*control.Log, error) {
	ctl, err := control.Open(ctx, c.log, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A log that is cut meanwhile shows in the change that follows.
		_ = ctl.Run(following)
	}()
	c.closers = append(c.closers, func() { stop(); <-done })
	return ctl, nil
}

func (c *cluster) close() {
	for _, f := range slices.Backward(c.closers) {
		f()
	}
}

// actor names who changes something, for the audit trail.
func actor() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return "cli:" + name + "@" + host
}

// confirm asks before a change; the plan is on stdout already. Without somebody to ask and without --yes nothing may
// change.
func (o *operator) confirm(question string) error {
	if o.yes {
		return nil
	}
	no := &exitError{code: exitConfirm, err: autobus.NewError(autobus.ReasonConfirmationNeeded, "%s: not confirmed",
		question)}
	if !isTerminal(o.app.in) {
		return no
	}
	fmt.Fprintf(o.app.err, "%s? [y/N] ", question)
	answer, err := bufio.NewReader(o.app.in).ReadString('\n')
	if err != nil && answer == "" {
		return no
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return no
	}
	return nil
}

// outOfTime says which limit ended the work.
func (o *operator) outOfTime(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, known := errors.AsType[*autobus.Error](err); known {
		return err
	}
	return autobus.NewError(autobus.ReasonClusterUnreachable, "no answer within --timeout %s", o.app.timeout).
		WithCause(err)
}
