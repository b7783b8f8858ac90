// SPDX-License-Identifier: Apache-2.0

package desk

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/autobus-io/autobus/client"
)

// Service is a service's own part of it.
type Service struct {
	Schema string // of its tables
	Widen  string // the repair of a table, by the flag -widen, while the service works; empty = it has none

	// Serve works until its context ends, by SIGTERM, and ends what it has begun.
	Serve func(context.Context, *Desk) error

	server, file string
	pace         time.Duration
	widen        bool
}

// Main is the main function of a service: flags, signals, the connection to the bus, the relay of the outbox.
func (s Service) Main() {
	flag.StringVar(&s.server, "server", "http://localhost:7070", "address of the bus; AUTOBUS_TOKEN is the token, if any")
	flag.StringVar(&s.file, "db", "", "file of the database")
	flag.DurationVar(&s.pace, "pace", 0, "a wait after each step, to be killed in")
	if s.Widen != "" {
		flag.BoolVar(&s.widen, "widen", false, "make room for ids beyond INT, and end")
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	name := filepath.Base(os.Args[0])
	if err := s.run(ctx, name); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func (s Service) run(ctx context.Context, name string) (err error) {
	d, err := Open(ctx, s.file, s.Schema)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.DB.Close()) }()
	if s.widen {
		return d.Change(ctx, func(tx *Tx) error { _, err := tx.Do(s.Widen); return err })
	}
	bus, err := client.New(client.Config{URL: s.server, Token: os.Getenv("AUTOBUS_TOKEN"), Service: name})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, bus.Close(closing))
	}()
	d.Bus, d.Pace = bus, s.pace
	relaying, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the service has ended
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		d.Relay(relaying)
	}()
	err = s.Serve(ctx, d)
	stop()
	<-relayed
	return err
}
