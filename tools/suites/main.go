// SPDX-License-Identifier: Apache-2.0

// Command suites is the one runner of the repository's tests: `make test` and the CI call it, nobody else decides what
// a green run is.
//
//	go run ./tools/suites [-update] [-only REGEXP]
//
// It starts one three-broker Kafka cluster that all packages share, runs vet, the linter and every package's tests with
// the race detector, ends the cluster by its recorded pids, and prints the failures last. The suites that ran are
// compared with the committed list test/suites.txt, so that none can vanish unseen. The suites of Python run in an
// environment of their own below .cache. What this machine cannot run (no Java, no Maven, no Python) is listed as
// skipped; under CI=true a skip is a failure.
//
// It refuses to know what is tested. A package gets the real cluster when its tests import internal/bustest; such
// packages run after each other, or in two lanes where they leave the cluster as it is, all others side by side.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	update := flag.Bool("update", false, "write "+listFile+" from this run")
	only := flag.String("only", "", "run the suites whose name matches, and compare no list")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r := runner{Out: os.Stdout, CI: os.Getenv("CI") == "true", Update: *update, Only: *only}
	err := r.Run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}
