// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// devFlags is one dev command as it was typed.
type devFlags struct {
	app       *app
	data      string
	ephemeral bool
	port      int
	kafkaPort int
	specs     string
	sinks     []string
	secrets   string
	noDemo    bool
	verbose   bool

	dataGiven bool

	durability string
	budget     string
	advertise  string
}

// What of the embedded broker survives: durabilityOS leaves writing to the disk to the system.
const (
	durabilityOS    = "os"
	durabilityFsync = "fsync"
)

// defaultSpecs is the folder that dev takes when it is there and no other is named.
const defaultSpecs = "specs"

func (a *app) newDevCommand() *cobra.Command {
	d := &devFlags{app: a}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a bus with its own broker, to try things out",
		Long: "Run everything in one process: the bus and an embedded broker that speaks Kafka's protocol. For trying\n" +
			"out and for tests; there is one copy of everything and no access control, so it is bound to loopback.\n" +
			"Types without a spec are accepted. Ends by Ctrl-C, which is exit status 0 here.\n\n" +
			"Under -o json and -o ndjson the banner is one line of JSON.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus dev\n" +
			"  autobus dev --specs ./specs --no-demo\n" +
			"  autobus dev --ephemeral --port 0 --kafka-port 0 -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.dataGiven = cmd.Flags().Changed("data")
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.data, "data", ".autobus", "folder of the data")
	f.BoolVar(&d.ephemeral, "ephemeral", false, "keep everything in memory, forget it at the end")
	f.IntVar(&d.port, "port", 7070, "port of the API; 0 = any free one")
	f.IntVar(&d.kafkaPort, "kafka-port", 9092, "port of the embedded Kafka broker; 0 = any free one")
	f.StringVar(&d.specs, "specs", "", "folder of AsyncAPI specs, reloaded when it changes (default ./specs if there)")
	f.StringSliceVar(&d.sinks, "sink", nil, "file of a sink to run; its tables are made (autobus sink)")
	f.StringVar(&d.secrets, "push-secrets", "", "folder of the files that subscriptions name as secret_file")
	f.BoolVar(&d.noDemo, "no-demo", false, "no made-up orders")
	f.StringVar(&d.durability, "durability", durabilityOS,
		"what is acknowledged survives a kill (os) or also a power cut (fsync)")
	f.StringVar(&d.budget, "budget", size(kafka.DefaultBudget).String(),
		"bytes the folder may hold; over it publishing is refused")
	f.StringVar(&d.advertise, "kafka-advertise", "",
		"host:port told to Kafka clients, where they do not reach the port directly")
	f.BoolVarP(&d.verbose, "verbose", "v", false, "show the log, not just warnings")
	return cmd
}

func (d *devFlags) run(ctx context.Context) error {
	begin := time.Now()
	s, err := d.settings()
	if err != nil {
		return err
	}
	in, err := start(ctx, s)
	if err != nil {
		return d.explain(err)
	}
	err = d.open(ctx, in, begin)
	if err == nil {
		err = in.wait(ctx)
	}
	if ctx.Err() != nil {
		err = nil // interrupted, perhaps while starting
	}
	return errors.Join(err, in.stop())
}

// open makes sure that the bus works before it says so, then starts the demo.
func (d *devFlags) open(ctx context.Context, in *instance, begin time.Time) error {
	if err := in.probe(ctx); err != nil {
		e := asError(err)
		return autobus.NewError(e.Reason, "the bus started, but an event of its own did not come back: %s", e.Detail).
			WithHint("%s", e.NextStep()).WithCause(err)
	}
	in.ready.SetReady()
	if err := d.banner(in, time.Since(begin)); err != nil {
		return err
	}
	if !d.noDemo {
		in.run(in.edges, "demo", newDemo(in.bus, in.logger).Run)
	}
	return nil
}

func (d *devFlags) settings() (settings, error) {
	for name, port := range map[string]int{"--port": d.port, "--kafka-port": d.kafkaPort} {
		if port < 0 || port > 65535 {
			return settings{}, usage("%s is %d", name, port).WithHint("Give a port from 1 to 65535, or 0 for any free one.")
		}
	}
	if d.port == d.kafkaPort && d.port != 0 {
		return settings{}, usage("--port and --kafka-port are both %d", d.port).
			WithHint("The API and the Kafka broker need a port each; 0 takes any free one.")
	}
	if d.ephemeral && d.dataGiven {
		return settings{}, usage("both --data and --ephemeral").
			WithHint("With --ephemeral no folder is used: leave one of them away.")
	}
	if info, err := os.Stat(d.specs); d.specs != "" && (err != nil || !info.IsDir()) {
		return settings{}, usage("--specs: %s is not a folder", d.specs).WithHint("Name the folder of the specs.")
	}
	if info, err := os.Stat(defaultSpecs); d.specs == "" && err == nil && info.IsDir() {
		d.specs = defaultSpecs
	}
	for _, file := range d.sinks {
		if _, err := os.Stat(file); err != nil {
			return settings{}, usage("--sink: %s", err).WithHint("Name the file of a sink.")
		}
	}
	if info, err := os.Stat(d.secrets); d.secrets != "" && (err != nil || !info.IsDir()) {
		return settings{}, usage("--push-secrets: %s is not a folder", d.secrets).WithHint("Name the folder of the secrets.")
	}
	var builtin spec.Files
	if !d.noDemo {
		var err error
		if builtin, err = demoSpecs(); err != nil {
			return settings{}, err
		}
	}
	budget, err := parseSize(d.budget)
	if err != nil || budget <= 0 {
		return settings{}, usage("--budget is %q", d.budget).WithHint("Give a number of bytes, such as 512MiB.")
	}
	if d.durability != durabilityOS && d.durability != durabilityFsync {
		return settings{}, usage("--durability is %q", d.durability).WithHint("Give %s or %s.", durabilityOS,
			durabilityFsync)
	}
	level := slog.LevelWarn
	if d.verbose {
		level = slog.LevelInfo
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	s := settings{
		dev: true, instance: host, listen: loopbackAddr(d.port), specs: d.specs, sinks: d.sinks, builtin: builtin,
		push:   pushSettings{allow: loopbackNets(), secrets: d.secrets},
		drain:  2 * time.Second,
		hosts:  []string{"localhost", "127.0.0.1", "::1"},
		logger: slog.New(slog.NewTextHandler(d.app.err, &slog.HandlerOptions{Level: level})),
		kafka:  kafka.Config{Name: "dev"},
		embedded: &kafka.EmbeddedConfig{Addr: loopbackAddr(d.kafkaPort), Advertise: d.advertise, Dir: d.data,
			Fsync: d.durability == durabilityFsync, Budget: int64(budget)},
	}
	if d.ephemeral {
		s.embedded.Dir = ""
	}
	return s, nil
}

func loopbackAddr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// explain names the flag that helps. Nothing moves to another port or folder by itself: whoever asked for this one
// has told others.
func (d *devFlags) explain(err error) error {
	var e *autobus.Error
	if !errors.As(err, &e) {
		return err
	}
	var port *portError
	switch {
	case errors.As(err, &port):
		return port.taken.WithHint("Stop that process, or choose another port: autobus dev --port %d", d.port+1)
	case e.Reason == autobus.ReasonPortTaken:
		return e.WithHint("Stop that process, or choose another port: autobus dev --kafka-port %d", d.kafkaPort+1)
	case e.Reason == autobus.ReasonDataLocked:
		return e.WithHint("Stop that process, or choose another folder: autobus dev --data DIR, or --ephemeral")
	}
	return err
}
