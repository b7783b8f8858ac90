// SPDX-License-Identifier: Apache-2.0

// Command autobus is the events bus in one binary: a gateway to try out (dev), a gateway in front of real Kafka
// (serve), and the tools to talk to either.
//
// It owns wiring, configuration, the command line and its exit statuses. It knows no rule of publishing or reading
// itself: those are internal/bus and what it is made of. Commands that talk to a running bus do so over HTTP only.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// After the first signal the program drains; a second one gets the operating system's treatment.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
