// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/admin"
	"github.com/autobus-io/autobus/internal/bench"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/doctor"
	"github.com/autobus-io/autobus/internal/kafka"
)

// startServe prepares the cluster for a bus and starts an instance. It takes only clusters without one: specs that
// are pushed take the place of those in force.
func (s *benchSite) startServe(ctx context.Context, c bench.Case) error {
	specs, err := s.writeSpecs(c)
	if err != nil {
		return err
	}
	if err := s.connect(ctx, s.flags.brokers); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "autobus.yaml")
	config, err := json.Marshal(map[string]any{ // JSON is YAML, and quotes what has to be quoted
		"listen": "127.0.0.1:0", "instance": "bench", "specs": specs, "log": map[string]any{"level": "info"},
		"kafka": map[string]any{"name": benchCluster, "brokers": s.flags.brokers},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return err
	}
	line, err := s.start(ctx, false, func(line string) bool { return strings.Contains(line, "msg=ready ") }, "serve",
		"--config", file)
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(line, "listen=")
	addr, _, _ := strings.Cut(rest, " ")
	s.target.URL = "http://" + addr
	return nil
}

// prepare makes the control log and a token.
func (s *benchSite) prepare(ctx context.Context) error {
	topics, err := s.log.Topics(ctx)
	if err != nil {
		return err
	}
	if _, exists := topics[control.Topic]; exists {
		if err := s.leftBehind(ctx); err != nil {
			return err
		}
		if err := s.log.DeleteTopics(ctx, benchTopics(topics)...); err != nil {
			return err
		}
	} else if made := benchTopics(topics); len(made) > 0 {
		return autobus.NewError(autobus.ReasonRequestInvalid, "the cluster has no bus, but a topic of one: %s", made[0]).
			WithHint("If nobody needs it, delete it; else take another cluster.")
	}
	about, err := s.log.Describe(ctx)
	if err != nil {
		return err
	}
	s.wipes = true // from here on, what there is of a bus is ours
	if _, _, err := control.Init(ctx, s.log, control.Settings{ClusterName: benchCluster, Actor: actor(),
		Replicas: min(doctor.Wanted, len(about.Brokers)), Adopt: true}); err != nil {
		return err
	}
	return s.withControl(ctx, func(ctl *control.Log) error {
		s.target.Token, _, err = admin.NewTokens(ctl).Create(ctx, "bench", []autobus.Grant{
			{Verb: autobus.VerbPublish, Pattern: "bench.*"}, {Verb: autobus.VerbSubscribe, Pattern: "*"},
			{Verb: autobus.VerbManage, Pattern: "*"}}, actor())
		return err
	})
}

// leftBehind is nil when the control log is a bench's, which was killed before it could delete it.
func (s *benchSite) leftBehind(ctx context.Context) error {
	return s.withControl(ctx, func(ctl *control.Log) error {
		if name := ctl.ClusterName(); name != benchCluster {
			return autobus.NewError(autobus.ReasonRequestInvalid, "the cluster has a bus already, called %s", name).
				WithHint("Measure that one: give --url beside --kafka. Specs of a bench would take the place of its own.")
		}
		return nil
	})
}

func (s *benchSite) withControl(ctx context.Context, f func(*control.Log) error) error {
	ctl, err := control.Open(ctx, s.log, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A log that is cut meanwhile shows in the change that follows.
		_ = ctl.Run(following)
	}()
	defer func() { stop(); <-done }()
	return f(ctl)
}

// benchTopics are those of a bus itself and of the bench's types.
func benchTopics(topics map[string]kafka.Topic) (names []string) {
	for name := range topics {
		if strings.HasPrefix(name, "_autobus.") || strings.HasPrefix(name, "bench.") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
