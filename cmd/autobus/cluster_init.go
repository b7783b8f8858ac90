// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/doctor"
)

func (a *app) newClusterCommand() *cobra.Command {
	return group("cluster", "Prepare and check a Kafka cluster",
		"  autobus cluster init --config autobus.yaml\n  autobus cluster check --config autobus.yaml",
		a.newClusterInitCommand(), a.newClusterCheckCommand())
}

func (a *app) newClusterInitCommand() *cobra.Command {
	o := &operator{app: a}
	var adopt bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Create the control log on a Kafka cluster, once",
		Long: "Create the control log on a Kafka cluster and give the cluster its id. Shows the plan and asks first.\n" +
			"On a cluster that has one it changes nothing.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: "  autobus cluster init --config autobus.yaml\n  autobus cluster init --config autobus.yaml --yes -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.prepare(cmd.Context(), adopt)
		},
	}
	o.configFlag(cmd)
	o.yesFlag(cmd)
	cmd.Flags().BoolVar(&adopt, "adopt", false,
		"take a cluster that has topics named like event types; if a bus ran here, restore its control log instead")
	return cmd
}

func (o *operator) prepare(ctx context.Context, adopt bool) error {
	connect, cancel := context.WithTimeout(ctx, o.app.timeout)
	defer cancel()
	c, err := o.open(connect)
	if err != nil {
		return err
	}
	defer c.close()
	about, err := c.log.Describe(connect)
	if err != nil {
		return o.outOfTime(err)
	}
	replicas := min(doctor.Wanted, len(about.Brokers))
	exists, err := c.log.Topics(connect, control.Topic)
	if err != nil {
		return o.outOfTime(err)
	}
	if len(exists) == 0 {
		o.plan(c, about.ID, len(about.Brokers), replicas)
		if err := o.confirm("Create the control log"); err != nil {
			return err
		}
	}
	// The person may have thought about it longer than the time limit.
	work, cancel := context.WithTimeout(ctx, o.app.timeout)
	defer cancel()
	id, created, err := control.Init(work, c.log, control.Settings{ClusterName: c.log.Name(), Actor: actor(),
		Replicas: replicas, Adopt: adopt})
	if err != nil {
		return initHint(o.outOfTime(err), o.config)
	}
	if o.app.output != "table" {
		return o.app.emitValue(map[string]any{"id": id, "created": created})
	}
	if !created {
		_, err = fmt.Fprintf(o.app.out, "the cluster has its control log already, id %s; nothing was changed\n", id)
		return err
	}
	_, err = fmt.Fprintf(o.app.out, "cluster %s is ready, id %s\n", c.log.Name(), id)
	o.app.note("Next: autobus cluster check --config %s, then autobus serve --config %s", o.config, o.config)
	return err
}

func (o *operator) plan(c *cluster, kafkaID string, brokers, replicas int) {
	o.app.note("Cluster %s (Kafka id %s, %d %s at %s)", c.log.Name(), kafkaID, brokers,
		plural(brokers, "broker"), strings.Join(c.config.Kafka.Brokers, ", "))
	o.app.note("would get the topic %s: 1 partition, %d %s, kept for ever.", control.Topic, replicas,
		map[bool]string{true: "copy", false: "copies"}[replicas == 1])
	if replicas < doctor.Wanted {
		o.app.note("Warning: with %d %s a dead disk loses the control log; %d are needed for safety.", brokers,
			plural(brokers, "broker"), doctor.Wanted)
	}
}

// initHint completes an error about a cluster that is not prepared with the command for this very configuration.
func initHint(err error, configFile string) error {
	e := asError(err)
	switch e.Reason {
	case autobus.ReasonClusterNotReady:
		return e.WithHint("Run: autobus cluster init --config %s", configFile)
	case autobus.ReasonControlLost:
		return e.WithHint("Restore the topic %s from its backup. If no bus ever ran on this cluster: "+
			"autobus cluster init --adopt --config %s", control.Topic, configFile)
	case autobus.ReasonClusterUnreachable:
		return e.WithHint("Check kafka.brokers in %s and that the brokers are up; autobus cluster check --config %s "+
			"says more.", configFile, configFile)
	}
	return err
}
