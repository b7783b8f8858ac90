// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/doctor"
)

func (a *app) newClusterCheckCommand() *cobra.Command {
	o := &operator{app: a}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what a Kafka cluster lacks for the bus",
		Long: "Look at the brokers, the control log, the topics of event types and the settings that matter, and say\n" +
			"how to mend what is not right. Changes nothing. autobus doctor looks at this machine too.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus cluster check --config autobus.yaml\n  autobus cluster check --config autobus.yaml -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.check(cmd.Context()) },
	}
	o.configFlag(cmd)
	return cmd
}

func (o *operator) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, o.app.timeout)
	defer cancel()
	c, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	report, err := doctor.Cluster(ctx, doctor.Target{Log: c.log, Init: "autobus cluster init --config " + o.config})
	if err != nil {
		return o.outOfTime(err)
	}
	return o.app.endWith(report.Findings)
}
