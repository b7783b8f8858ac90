// SPDX-License-Identifier: Apache-2.0

// Command tables looks into the databases of all services and into the log, and says whether they agree, row by row and
// event by event. No service could.
//
//	tables -dir DIR await N      wait until N refunds are at their end
//	tables -dir DIR ended        how many are
//	tables -dir DIR left         how many rows of outboxes are not published yet
//	tables -dir DIR compare      print the tables side by side, fail where they differ
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.dir, "dir", ".", "folder of the databases")
	flag.StringVar(&o.server, "server", "http://localhost:7070", "address of the bus; AUTOBUS_TOKEN is the token, if any")
	flag.Func("since", "when the log begins that is compared; default the whole of it", func(s string) (err error) {
		o.since, err = time.Parse(time.RFC3339Nano, s)
		return err
	})
	flag.IntVar(&o.refunds, "refunds", 0, "how many there have to be")
	flag.IntVar(&o.rejected, "rejected", 0, "how many of them were rejected")
	flag.StringVar(&o.once, "once", "", "order whose events may have been delivered once only")
	timeout := flag.Duration("timeout", 3*time.Minute, "how long to wait")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := o.run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "tables:", err)
		os.Exit(1)
	}
}

type options struct {
	dir, server, once string
	since             time.Time
	refunds, rejected int
}

func (o options) run(ctx context.Context, args []string) error {
	all, err := open(o.dir)
	if err != nil {
		return err
	}
	defer all.close()
	switch {
	case len(args) == 2 && args[0] == "await":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return all.await(ctx, n)
	case len(args) == 1 && args[0] == "ended":
		n, err := all.ended(ctx)
		fmt.Println(n)
		return err
	case len(args) == 1 && args[0] == "left":
		n, err := all.left(ctx)
		fmt.Println(n)
		return err
	case len(args) == 1 && args[0] == "compare":
		return o.compare(ctx, all)
	}
	return errors.New("it takes one of await N, ended, left and compare")
}

// await waits until so many refunds are at their end.
func (all databases) await(ctx context.Context, n int) error {
	for {
		ended, err := all.ended(ctx)
		if err != nil || ended >= n {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d refunds are at their end: %w", ended, n, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ended counts the refunds that are at their end, as the BOBs know it.
func (all databases) ended(ctx context.Context) (n int, err error) {
	for _, country := range countries() {
		k, err := all.count(ctx, "bob-"+country, `SELECT count(*) FROM statuses WHERE status IN ('receipt', 'rejected')`)
		if err != nil {
			return 0, err
		}
		n += k
	}
	return n, nil
}

// left counts what is not published yet.
func (all databases) left(ctx context.Context) (n int, err error) {
	for name := range all {
		k, err := all.count(ctx, name, `SELECT count(*) FROM outbox WHERE written = 0`)
		if err != nil {
			return 0, err
		}
		n += k
	}
	return n, nil
}
