// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

// serveFlags are the settings that have a flag; every setting has a key and a variable.
type serveFlags struct {
	app    *app
	config string
	values flagValues
}

func (a *app) newServeCommand() *cobra.Command {
	s := &serveFlags{app: a, values: flagValues{}}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run an instance of the bus in front of a Kafka cluster",
		Long: "Run an instance of the bus. Settings come from the file, then from AUTOBUS_ variables named like the keys\n" +
			"(AUTOBUS_KAFKA_BROKERS), then from flags; docs/reference/config.md lists them.\n\n" +
			"The cluster must have been prepared by autobus cluster init. Without a token nothing is allowed. Beyond\n" +
			"loopback a certificate is required, or insecure: true. Ends by a signal, which is exit status 0 here.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus serve --config autobus.yaml\n" +
			"  AUTOBUS_KAFKA_BROKERS=k1:9092,k2:9092 autobus serve --config autobus.yaml --log-level debug",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for path := range s.values {
				flag := cmd.Flags().Lookup(flagName(path))
				if !flag.Changed {
					delete(s.values, path)
					continue
				}
				s.values[path] = flag.Value.String()
			}
			return s.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.config, "config", os.Getenv("AUTOBUS_CONFIG"), "file of the configuration (AUTOBUS_CONFIG)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	for _, flag := range []struct{ path, about string }{
		{"listen", "address of the API, host:port"},
		{"specs", "folder of AsyncAPI specs to push at the start"},
		{"instance", "name of this instance"},
		{"log.level", "debug, info, warn or error"},
	} {
		s.values[flag.path] = ""
		f.String(flagName(flag.path), "", flag.about)
	}
	s.values["insecure"] = ""
	f.Bool(flagName("insecure"), false, "serve without TLS beyond loopback")
	return cmd
}

func (s *serveFlags) run(ctx context.Context) error {
	cfg, p, err := loadConfig(s.config, s.values)
	if err != nil {
		return err
	}
	set := cfg.settings(s.app, p)
	if err := p.err(); err != nil {
		return err
	}
	in, err := start(ctx, set)
	if err != nil {
		return s.explain(err)
	}
	in.run(in.core, "probe", in.becomeReady)
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil && set.tls == nil && !loopback(host) {
		in.logger.Warn("insecure: tokens and events cross the network readable", "listen", cfg.Listen)
	}
	if in.peers == nil {
		in.logger.Info("works alone: a worker gets only what this instance has; set peer_secret_file where there are several")
	}
	err = in.wait(ctx)
	in.logger.Info("stopping")
	return errors.Join(err, in.stop())
}

// becomeReady probes until the probe passes: brokers that are away now may be back in a minute, and until then the
// instance answers what it can.
func (in *instance) becomeReady(ctx context.Context) error {
	for err := in.probe(ctx); err != nil && ctx.Err() == nil; err = in.probe(ctx) {
		in.logger.Warn("not ready: an event of the bus's own did not come back", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	if ctx.Err() == nil {
		in.ready.SetReady()
		in.logger.Info("ready", "listen", in.listener.Addr().String(), "cluster", in.control.ClusterName(),
			"types", in.registry.Snapshot().Len(), "version", readBuildInfo().Version)
	}
	return nil
}

func (s *serveFlags) explain(err error) error {
	var e *autobus.Error
	if errors.As(err, &e) && e.Reason == autobus.ReasonPortTaken {
		return e.WithHint("Stop that process, or set another listen address: --listen host:port")
	}
	return initHint(err, s.config)
}

// settings makes of the configuration what an instance is started with.
func (c *config) settings(a *app, p *problems) settings {
	s := settings{
		instance: c.Instance, advertise: c.Advertise, listen: c.Listen,
		schemas: c.SchemaRegistry.Listen, tls: c.TLS.load(p), insecure: c.Insecure,
		kafka: c.openKafka(p), named: c.Kafka.Name != "", specs: c.Specs, sinks: c.Sinks, drain: c.Limits.Drain,
		quotas: c.Quotas.open(), push: c.Push.open(),
		peers: c.peerKeys(p), peerTLS: c.peerTLS(p),
	}
	if s.instance == "" {
		host, err := os.Hostname()
		if err != nil {
			p.at("instance", "the host has no name: %s", err).next("name the instance")
		}
		s.instance = host
		if !instanceName(host) {
			p.at("instance", "the host's name %q cannot be the name of an instance", host).next("name the instance")
		}
	}
	s.logger = c.Log.open(a.err, p)
	s.logger = s.logger.With("instance", s.instance)
	return s
}

// open makes the logger.
func (l logConfig) open(to io.Writer, p *problems) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		p.at("log.level", "%s", err).next("use debug, info, warn or error")
	}
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(to, options))
	}
	return slog.New(slog.NewTextHandler(to, options))
}
