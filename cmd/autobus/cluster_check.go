// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

func (a *app) newClusterCheckCommand() *cobra.Command {
	o := &operator{app: a}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what a Kafka cluster lacks for the bus",
		Long: "Look at the brokers, the control log, the topics of event types and the settings that matter, and say\n" +
			"how to mend what is not right. Changes nothing.\n\n" +
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
	about, err := c.log.Describe(ctx)
	if err != nil {
		return o.outOfTime(err)
	}
	topics, err := c.log.Topics(ctx)
	if err != nil {
		return o.outOfTime(err)
	}
	findings := []finding{checkBrokers(about), checkControlTopic(topics, len(about.Brokers), o.config)}
	routes, more := checkRoutes(ctx, c, topics)
	findings = append(findings, more...)
	findings = append(findings, checkTopics(topics, routes)...)
	for _, b := range about.Brokers {
		settings, err := c.log.BrokerConfigs(ctx, b.ID)
		if err != nil {
			findings = append(findings, finding{levelWarn, "settings of broker " + strconv.Itoa(int(b.ID)),
				"cannot be described: " + err.Error(), "allow the bus's user DescribeConfigs on the cluster"})
			continue
		}
		findings = append(findings, checkSettings(b.ID, settings)...)
	}
	return o.printFindings(findings)
}

// checkRoutes reads what the control log promises of each type.
func checkRoutes(ctx context.Context, c *cluster, topics map[string]kafka.Topic) (map[string]control.Route, []finding) {
	if _, ok := topics[control.Topic]; !ok {
		return nil, nil
	}
	ctl, err := c.control(ctx)
	if err != nil {
		e := asError(err)
		return nil, []finding{{levelLacks, "control log", e.Error(), e.NextStep()}}
	}
	routes := map[string]control.Route{}
	var out []finding
	for _, r := range ctl.All(control.KindRoute) {
		route, err := control.Decode[control.Route](r)
		if err != nil {
			out = append(out, finding{levelWarn, "type " + r.Name, "its route was written by a newer version",
				"use the newest autobus for this check"})
			continue
		}
		routes[route.Topic] = route
		if _, ok := topics[route.Topic]; !ok {
			out = append(out, finding{levelLacks, "type " + route.Type, "its topic " + route.Topic + " does not exist",
				"create it with " + strconv.Itoa(int(route.Partitions)) + " partitions, or restore it"})
		}
	}
	return routes, out
}

func (o *operator) printFindings(findings []finding) error {
	lacks := 0
	for _, f := range findings {
		if f.Level == levelLacks {
			lacks++
		}
	}
	if err := o.app.printFindings(findings, lacks == 0); err != nil {
		return err
	}
	if lacks > 0 {
		o.app.note("%d of %d checks found something that must be mended.", lacks, len(findings))
		return &exitError{code: exitFound}
	}
	return nil
}

func (a *app) printFindings(findings []finding, ok bool) error {
	switch a.output {
	case "json":
		return a.emitValue(map[string]any{"ok": ok, "findings": findings})
	case "ndjson":
		var errs []error
		for _, f := range findings {
			errs = append(errs, a.emitValue(f))
		}
		return errors.Join(errs...)
	}
	var rows [][]string
	for _, f := range findings {
		color := map[string]string{levelOK: green, levelWarn: yellow, levelLacks: red}[f.Level]
		rows = append(rows, []string{a.paint(a.out, color, f.Level), f.Check, f.Detail, f.Fix})
	}
	a.table([]string{"", "check", "found", "fix"}, rows)
	return nil
}
