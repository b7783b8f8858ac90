// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/autobus-io/autobus/internal/doctor"
	"github.com/autobus-io/autobus/internal/kafka"
)

// lookAtDev looks at the dev of this folder, whether it runs or not.
func (d *doctorFlags) lookAtDev(ctx context.Context) error {
	budget, err := parseSize(d.budget)
	if err != nil || budget <= 0 {
		return usage("--budget is %q", d.budget).WithHint("Give a number of bytes, such as 512MiB.")
	}
	for name, port := range map[string]int{"--port": d.port, "--kafka-port": d.kafkaPort} {
		if port < 1 || port > 65535 {
			return usage("%s is %d", name, port).WithHint("Give the port that dev is started with, from 1 to 65535.")
		}
	}
	running, status, err := d.devPort(ctx)
	if err != nil {
		return err
	}
	d.devKafkaPort(ctx, running, status)
	d.add(doctor.Folder(d.data, int64(budget), running && status.Embedded != nil && status.Embedded.Dir != "",
		"--data DIR, or --ephemeral")...)
	if !running {
		d.skipped(doctor.CheckBrokers, "cluster", "no bus runs here, so neither does its broker",
			"autobus dev, then look again")
		return nil
	}
	return d.devCluster(ctx, status)
}

// devPort looks who listens at the port of the API.
func (d *doctorFlags) devPort(ctx context.Context) (running bool, s doctor.Status, err error) {
	addr := loopbackAddr(d.port)
	taken, by, err := doctor.Taken(ctx, addr)
	switch {
	case err != nil:
		d.problem(doctor.CheckPorts, addr, "nobody may listen there: "+err.Error(), d.otherPort("--port", d.port))
		return false, s, nil
	case !taken:
		d.ok(doctor.CheckPorts, addr, "free: no bus runs here")
		return false, s, nil
	}
	token, err := d.app.readToken()
	if err != nil {
		return false, s, err
	}
	c, err := newAPI("http://"+addr, token)
	if err != nil {
		return false, s, err
	}
	defer c.close()
	s, who := d.askStatus(ctx, c, addr)
	if who == nobody {
		d.problem(doctor.CheckPorts, addr, "taken by "+someone(by)+", which is no bus",
			"stop it, or "+d.otherPort("--port", d.port))
		return false, s, nil
	}
	d.ok(doctor.CheckPorts, addr, "taken by a bus, "+someone(by))
	return who == answered, s, nil
}

// devKafkaPort looks who listens at the broker's port. A bus on another port of Kafka leaves this one alone.
func (d *doctorFlags) devKafkaPort(ctx context.Context, running bool, s doctor.Status) {
	addr := loopbackAddr(d.kafkaPort)
	taken, by, err := doctor.Taken(ctx, addr)
	switch {
	case err != nil:
		d.problem(doctor.CheckPorts, addr, "nobody may listen there: "+err.Error(), d.otherPort("--kafka-port", d.kafkaPort))
	case !taken:
		d.ok(doctor.CheckPorts, addr, "free")
	case running && s.Embedded != nil:
		d.ok(doctor.CheckPorts, addr, "taken by "+someone(by))
	default:
		d.problem(doctor.CheckPorts, addr, "taken by "+someone(by), "stop it, or "+d.otherPort("--kafka-port", d.kafkaPort))
	}
}

func (d *doctorFlags) otherPort(flag string, port int) string {
	return fmt.Sprintf("choose another port: autobus dev %s %d", flag, port+1)
}

func someone(by string) string {
	if by == "" {
		return "a process of another user"
	}
	return by
}

// devCluster looks at the broker of a dev that runs, through the port that it gives to every Kafka client.
func (d *doctorFlags) devCluster(ctx context.Context, s doctor.Status) error {
	var brokers []string
	for _, b := range s.Cluster.Brokers {
		brokers = append(brokers, b.Addr)
	}
	if len(brokers) == 0 {
		return nil // the instance itself said why
	}
	log, err := kafka.Open(ctx, kafka.Config{Name: "dev", Brokers: brokers, ClientID: "autobus-doctor",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.problem(doctor.CheckBrokers, brokers[0], "the address given to Kafka clients does not answer: "+asError(err).Detail,
			"give dev a --kafka-advertise that clients can reach, or leave it away")
		return nil
	}
	d.cluster(ctx, doctor.Target{Log: log, Embedded: s.Embedded != nil, Init: "autobus dev"})
	return nil
}

// cluster looks at a cluster, closes it, and gives the instances that work on it.
func (d *doctorFlags) cluster(ctx context.Context, t doctor.Target) []doctor.Peer {
	defer t.Log.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	report, err := doctor.Cluster(ctx, t)
	if err != nil {
		d.unreachable = true
		d.problem(doctor.CheckBrokers, "cluster", "answers no more: "+err.Error(), "look again; --timeout gives it longer")
	}
	d.add(report.Findings...)
	return report.Peers
}
