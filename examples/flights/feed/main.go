// SPDX-License-Identifier: Apache-2.0

// Command feed publishes the rows of a file of flights as events. It knows nothing of Kafka: it is a plain HTTP client
// that streams NDJSON both ways over several connections, as a service in any language could be. It shows what such a
// client has to do so that nothing is lost, nothing counts twice and the events of one key keep their order: give each
// row the same id in every run, keep to one connection per key, look at every result, and send what has no certain
// outcome again under its id.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := flag.String("server", "http://localhost:7070", "address of the bus; AUTOBUS_TOKEN is the token, if any")
	connections := flag.Int("connections", 4, "how many connections to publish over")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: feed [flags] FILE.csv|FILE.zip")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 || *connections < 1 {
		flag.Usage()
		os.Exit(2)
	}
	f := feed{server: *server, token: os.Getenv("AUTOBUS_TOKEN"), connections: *connections, log: os.Stderr}
	err := f.run(ctx, flag.Arg(0))
	fmt.Println(f.count.String())
	if err != nil {
		fmt.Fprintln(os.Stderr, "feed:", err)
		os.Exit(1)
	}
}
