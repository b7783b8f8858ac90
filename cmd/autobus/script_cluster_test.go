// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Commands of scripts that change a cluster behind the bus's back, see TestScripts.

// withLog works on a cluster.
func withLog(ts *testscript.TestScript, brokers string, work func(context.Context, *kafka.Log)) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	log, err := kafka.Open(ctx, kafka.Config{Brokers: strings.Split(brokers, ","), Logger: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	defer log.Close(ctx)
	work(ctx, log)
}

func scriptTopic(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: topic set|grow|delete BROKERS NAME [VALUE]")
	}
	withLog(ts, args[1], func(ctx context.Context, log *kafka.Log) {
		switch args[0] {
		case "set":
			key, value, _ := strings.Cut(args[3], "=")
			ts.Check(log.AlterTopic(ctx, args[2], map[string]string{key: value}))
		case "delete":
			ts.Check(log.DeleteTopics(ctx, args[2]))
		case "grow":
			n, err := strconv.Atoi(args[3])
			ts.Check(err)
			c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(args[1], ",")...))
			ts.Check(err)
			defer c.Close()
			_, err = kadm.NewClient(c).UpdatePartitions(ctx, n, args[2])
			ts.Check(err)
		default:
			ts.Fatalf("there is no topic %s", args[0])
		}
	})
}

// scriptNewer writes a control record in a form that this build cannot read.
func scriptNewer(ts *testscript.TestScript, _ bool, args []string) {
	withLog(ts, args[0], func(ctx context.Context, log *kafka.Log) {
		ctl, err := control.Open(ctx, log, slog.New(slog.DiscardHandler))
		ts.Check(err)
		following, stop := context.WithCancel(ctx)
		ran := make(chan error, 1)
		go func() { ran <- ctl.Run(following) }()
		defer func() { stop(); <-ran }()
		current, _ := ctl.Get(args[1], args[2])
		_, err = ctl.Change(ctx, control.Record{Version: control.Version + 1, Kind: args[1], Name: args[2],
			Prev: current.Offset, Value: json.RawMessage(`{"of": "the future"}`)})
		ts.Check(err)
	})
}

// scriptFreePort sets a variable to a port on which nobody listens.
func scriptFreePort(ts *testscript.TestScript, _ bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ts.Check(ln.Close())
	ts.Setenv(args[0], port)
}

// scriptSquat listens on a port of its own until the script ends, hangs up on everybody, and sets a variable to it.
func scriptSquat(ts *testscript.TestScript, _ bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for conn, err := ln.Accept(); err == nil; conn, err = ln.Accept() {
			_ = conn.Close()
		}
	}()
	ts.Defer(func() { _ = ln.Close(); <-done })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ts.Setenv(args[0], port)
}
