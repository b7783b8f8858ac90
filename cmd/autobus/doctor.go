// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/doctor"
	"github.com/autobus-io/autobus/internal/kafka"
)

// doctorFlags is one doctor command as it was typed.
type doctorFlags struct {
	app         *app
	config      string
	data        string
	budget      string
	port        int
	kafkaPort   int
	serverGiven bool

	peerToken string // by which instances with the secret of the configuration let doctor in

	findings []doctor.Finding
	versions map[string]string // by instance
	// unreachable: what was to be looked at does not answer, so that much of the report is missing.
	unreachable bool
}

func (a *app) newDoctorCommand() *cobra.Command {
	d := &doctorFlags{app: a, versions: map[string]string{}}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with a bus and say how to mend it",
		Long: "Look at the configuration, ports, brokers, clocks, topics, disks and running instances, and say how to\n" +
			"mend what is not right. Changes nothing, and works while the bus runs and while it does not.\n\n" +
			"With --config it looks at what serve is started with. With --server, or AUTOBUS_SERVER, it asks that bus\n" +
			"how it is, and nothing else. Without any, or with the flags of dev, it looks at the dev of this folder: its\n" +
			"ports, its data, its topics. What a flag says counts more than AUTOBUS_SERVER and AUTOBUS_CONFIG.\n\n" +
			"Findings are ok, skipped (could not be looked at), warning or problem; only problems make status 3. Status 4:\n" +
			"the cluster or the server does not answer, so that the report is not complete.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus doctor\n" +
			"  autobus doctor --config autobus.yaml\n" +
			"  autobus doctor --server https://bus.example:7070 --token-file token -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			named := cmd.Flags().Changed
			dev := named("port") || named("kafka-port") || named("data") || named("budget")
			d.serverGiven = named("server") || os.Getenv("AUTOBUS_SERVER") != "" && !dev
			if (dev || named("server")) && !named("config") {
				d.config = "" // what is named here counts more than what the environment names
			}
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.config, "config", os.Getenv("AUTOBUS_CONFIG"), "configuration of serve (AUTOBUS_CONFIG)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	f.StringVar(&d.data, "data", ".autobus", "folder of dev's data")
	f.StringVar(&d.budget, "budget", size(kafka.DefaultBudget).String(), "bytes that folder may hold")
	f.IntVar(&d.port, "port", 7070, "port of dev's API")
	f.IntVar(&d.kafkaPort, "kafka-port", 9092, "port of dev's Kafka broker")
	return cmd
}

func (d *doctorFlags) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.app.timeout)
	defer cancel()
	look := d.lookAtDev
	switch {
	case d.config != "":
		look = d.lookAtServe
	case d.serverGiven:
		look = d.lookAtServer
	}
	if err := look(ctx); err != nil {
		return err
	}
	d.add(doctor.Versions(d.versions)...)
	err := d.app.endWith(d.findings)
	if d.unreachable {
		return &exitError{code: exitUnreachable}
	}
	return err
}

func (d *doctorFlags) add(f ...doctor.Finding) { d.findings = append(d.findings, f...) }

func (d *doctorFlags) ok(check, where, what string) {
	d.add(doctor.Finding{Severity: doctor.OK, Check: check, Where: where, What: what})
}

func (d *doctorFlags) problem(check, where, what, fix string) {
	d.add(doctor.Finding{Severity: doctor.Problem, Check: check, Where: where, What: what, Fix: fix})
}

func (d *doctorFlags) skipped(check, where, why, fix string) {
	d.add(doctor.Finding{Severity: doctor.Skipped, Check: check, Where: where, What: why, Fix: fix})
}

// lookAtServer asks one bus, wherever it is.
func (d *doctorFlags) lookAtServer(ctx context.Context) error {
	token, err := d.app.readToken()
	if err != nil {
		return err
	}
	c, err := newAPI(d.app.server, token)
	if err != nil {
		return err
	}
	defer c.close()
	if answer := d.ask(ctx, c, d.app.server); answer == nobody {
		d.unreachable = true
		d.problem(doctor.CheckInstance, d.app.server, "no bus answers",
			"start it, or check --server and what lies between; where it runs, autobus doctor --config FILE says more")
	}
	return nil
}
