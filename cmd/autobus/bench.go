// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bench"
	"github.com/autobus-io/autobus/internal/kafka"
)

// benchFlags is one bench as it was typed.
type benchFlags struct {
	app  *app
	mode string

	brokers    []string
	url        string
	gatewayPID int
	brokerPIDs []int
	durability string
	yes        bool

	transport   string
	value       string
	sizes       []string
	batches     []int
	callers     int
	connections []int
	clients     int
	partitions  []int
	rate        float64
	events      int
	window      int

	plan bench.Plan
}

const benchAbout = "Rounds of the bus and of a Kafka client that does the same work alternate, after a warm-up;\n" +
	"ratios of rounds that follow each other are what counts, above all those of processor time.\n" +
	"docs/howto/measure.md says how to read them.\n\n" +
	"Without --url a gateway is started for each case and ended again: serve in front of --kafka, which must be a\n" +
	"cluster without a bus, else dev with its embedded broker. Topics, types and subscriptions of the bench are\n" +
	"deleted. With --url a running gateway is measured; it must know the types that autobus bench specs writes, and\n" +
	"--kafka must be its cluster.\n\n" +
	"A list of sizes, batches, connections or partitions makes a case of each combination.\n\n"

func (a *app) newBenchCommand() *cobra.Command {
	return group("bench", "Measure the bus against a Kafka client",
		"  autobus bench publish\n  autobus bench publish --kafka 127.0.0.1:9092 --transport ndjson -o json\n"+
			"  autobus bench e2e --rate 100",
		a.newBenchModeCommand(bench.Publish, "Measure publishing",
			"  autobus bench publish --kafka 127.0.0.1:9092 --size 100,1024,10240 --batch 1,100\n"+
				"  autobus bench publish --kafka 127.0.0.1:9092 --callers 64 --batch 1 --clients 64\n"+
				"  autobus bench publish --rate 100 --callers 1 --batch 1 --rounds 5"),
		a.newBenchModeCommand(bench.Consume, "Measure reading and acking a backlog",
			"  autobus bench consume --kafka 127.0.0.1:9092 --events 1000000\n  autobus bench consume --connections 4"),
		a.newBenchModeCommand(bench.EndToEnd, "Measure the time from a publish to its delivery",
			"  autobus bench e2e --rate 100\n  autobus bench e2e --kafka 127.0.0.1:9092 --rate 1000 --round 10s"),
		a.newBenchModeCommand(bench.Direct, "Measure a Kafka client alone",
			"  autobus bench direct --kafka 127.0.0.1:9092\n"+
				"  autobus bench direct --kafka 127.0.0.1:9092 --callers 64 --clients 64 --batch 1"),
		a.newBenchSpecsCommand())
}

func (a *app) newBenchModeCommand(mode, short, example string) *cobra.Command {
	b := &benchFlags{app: a, mode: mode}
	cmd := &cobra.Command{
		Use:     mode,
		Short:   short,
		Long:    short + ".\n\n" + benchAbout + exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable, exitConfirm),
		Example: example,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&b.brokers, "kafka", nil, "brokers, host:port; without them the embedded one")
	f.IntSliceVar(&b.brokerPIDs, "broker-pid", nil, "processes of the brokers (default: found by their ports on loopback)")
	f.StringVar(&b.value, "value", bench.JSON, "what events hold: json, an order checked by its spec, or opaque bytes")
	f.StringSliceVar(&b.sizes, "size", []string{"1KiB"}, "bytes of an event's data, such as 100,1KiB,10KiB")
	f.IntSliceVar(&b.partitions, "partitions", []int{6}, "partitions of the topic")
	f.IntVar(&b.clients, "clients", 1, "Kafka clients of the direct side, shared by its callers")
	f.DurationVar(&b.plan.WarmUp, "warm-up", 15*time.Second, "load before the first round that counts")
	f.IntVar(&b.plan.Rounds, "rounds", 3, "rounds of each side")
	f.StringVar(&b.durability, "durability", durabilityOS, "of the embedded broker: os or fsync")
	f.BoolVarP(&b.yes, "yes", "y", false, "also where the brokers or the gateway are not on this machine")
	b.batches, b.callers, b.connections = []int{1}, 1, []int{1}
	if mode != bench.Consume {
		f.DurationVar(&b.plan.Round, "round", 3*time.Second, "how long a round lasts")
	}
	switch mode {
	case bench.Publish, bench.Direct:
		f.IntSliceVar(&b.batches, "batch", []int{100}, "events of a call")
		f.IntVar(&b.callers, "callers", 16, "callers at once, each with one call under way")
		f.Float64Var(&b.rate, "rate", 0, "events per second of all callers; 0 = as fast as answers come")
	case bench.EndToEnd:
		f.IntVar(&b.callers, "callers", 1, "callers at once")
		f.Float64Var(&b.rate, "rate", 100, "events per second of all callers")
	case bench.Consume:
		f.IntVar(&b.events, "events", 500_000, "events to read in a round")
	}
	if mode == bench.Direct {
		return cmd
	}
	f.StringVar(&b.url, "url", "", "gateway that runs already; --token applies")
	f.IntVar(&b.gatewayPID, "gateway-pid", 0, "process of that gateway (default: found by its port on loopback)")
	if mode == bench.Publish {
		f.StringVar(&b.transport, "transport", bench.Frames,
			"frames of a WebSocket, or HTTP: ndjson (a request per batch) or json (a request per event)")
	} else {
		f.IntVar(&b.window, "window", 1000, "unsettled events of a connection")
	}
	if mode != bench.EndToEnd {
		f.IntSliceVar(&b.connections, "connections", []int{1},
			"connections to the gateway, shared by the callers; over HTTP one for each caller unless given")
	}
	cmd.PreRun = func(cmd *cobra.Command, _ []string) {
		if b.transport == "" {
			b.transport = bench.Frames
		}
		if c := cmd.Flags().Lookup("connections"); b.transport != bench.Frames && !c.Changed {
			b.connections = []int{b.callers}
		}
	}
	return cmd
}

func (b *benchFlags) run(ctx context.Context) error {
	cases, err := b.cases()
	if err != nil {
		return err
	}
	if err := b.onThisMachine(b.brokers...); err != nil {
		return err
	}
	report := benchReport{Autobus: readBuildInfo().Version, Go: runtime.Version(), CPUs: runtime.NumCPU(),
		Began: time.Now().UTC().Truncate(time.Second), Brokers: b.brokers, WarmUp: autobus.Duration(b.plan.WarmUp),
		Round: autobus.Duration(b.plan.Round)}
	for _, c := range cases {
		row, err := b.measure(ctx, c)
		if err == nil {
			report.Rows = append(report.Rows, row)
			err = b.printRow(row)
		}
		if err != nil && len(report.Rows) > 0 { // an hour of measuring is not lost for the last case
			return errors.Join(err, b.printReport(&report))
		} else if err != nil {
			return err
		}
	}
	return b.printReport(&report)
}

// measure starts what is needed for one case, measures, and puts everything back.
func (b *benchFlags) measure(ctx context.Context, c bench.Case) (row *bench.Row, err error) {
	site, err := b.open(ctx, c)
	if site != nil {
		defer func() {
			if closing := site.close(); err == nil {
				err = closing
			}
		}()
	}
	if err != nil {
		return nil, err
	}
	b.app.note("%s", caseLine(c))
	if b.plan.WarmUp > 0 {
		b.app.note("warming up for %s", b.plan.WarmUp)
	}
	ctx, unwatch := site.watch(ctx)
	defer unwatch()
	row, err = bench.Run(ctx, site.log, c, b.plan, site.target, b.told)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // whatever it led to
	}
	return row, err
}

// onThisMachine asks for a yes before load is put on somebody else's machines.
func (b *benchFlags) onThisMachine(addresses ...string) error {
	if b.url != "" {
		u, err := url.Parse(b.url)
		if err != nil || u.Host == "" {
			return usage("--url is %q", b.url).WithHint("Give an address such as http://localhost:7070.")
		}
		addresses = append(addresses, u.Host)
	}
	for _, addr := range addresses {
		if !bench.Loopback(addr) && !b.yes {
			return &exitError{code: exitConfirm, err: autobus.NewError(autobus.ReasonConfirmationNeeded,
				"%s is not on this machine, and a bench writes as much as it can", addr).
				WithHint("If nobody else depends on it, say --yes.")}
		}
	}
	return nil
}

// benchKafka is how the bench reaches the brokers.
func benchKafka(brokers []string) kafka.Config {
	return kafka.Config{Name: benchCluster, Brokers: brokers, ClientID: "autobus-bench",
		Logger: slog.New(slog.DiscardHandler)}
}

func caseLine(c bench.Case) string {
	s := fmt.Sprintf("%s  %s  %d B  %d %s", c.Mode, c.Value, c.Size, c.Partitions, plural(c.Partitions, "partition"))
	if c.Mode == bench.Publish || c.Mode == bench.Direct {
		s += fmt.Sprintf("  batch %d  %d %s", c.Batch, c.Callers, plural(c.Callers, "caller"))
	}
	if c.Mode != bench.Direct {
		s += fmt.Sprintf("  %s, %d %s", c.Transport, c.Connections, plural(c.Connections, "connection"))
	}
	s += fmt.Sprintf("  direct: %d %s", c.Clients, plural(c.Clients, "client"))
	if c.Rate > 0 {
		s += fmt.Sprintf("  %g events/s", c.Rate)
	}
	if c.Mode == bench.Consume {
		s += fmt.Sprintf("  %d events", c.Events)
	}
	return s
}
