// SPDX-License-Identifier: Apache-2.0

// Command load is the customers and the merchants of the example. Every flight of the file becomes an order of the
// year -year: it is placed, looked at and, as the flight was flown or not, completed or cancelled. Meanwhile merchants
// ask for their report. Calls start when they are due, however slow the others are. It prints a line for each kind of
// call: name, how many, and the 50th and 99th percentile in milliseconds. A call that fails ends it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l := &load{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	flag.StringVar(&l.orders, "orders", "", "address of the orders service")
	flag.StringVar(&l.report, "report", "", "address of who answers for reports")
	year := flag.Int("year", 2013, "year of the orders")
	rate := flag.Float64("rate", 100, "orders a second; each makes three calls")
	reports := flag.Float64("reports", 5, "reports a second")
	flag.Parse()
	orders, err := readOrders(flag.Arg(0), *year)
	if err == nil {
		err = l.run(ctx, orders, *year, *rate, *reports)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	l.times.write(os.Stdout)
}

type load struct {
	orders, report string
	client         *http.Client
	times          times
}

// run lives the orders at the rate, and asks for reports until the last of them is closed.
func (l *load) run(ctx context.Context, orders []order, year int, rate, reports float64) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	living, done := context.WithCancel(ctx)
	defer done()
	var asking, running sync.WaitGroup
	asking.Go(func() {
		var calls sync.WaitGroup
		defer calls.Wait()
		for i := 0; wait(living, reports); i++ {
			merchant := orders[i%len(orders)].Merchant
			url := fmt.Sprintf("%s/report?merchant=%s&from=%d-01-01&to=%d-12-31", l.report, merchant, year, year)
			calls.Go(func() {
				if err := l.call(ctx, "report", http.MethodGet, url, nil); err != nil {
					fail(err)
				}
			})
		}
	})
	for _, o := range orders {
		if !wait(ctx, rate) {
			break
		}
		running.Go(func() {
			if err := l.live(ctx, o); err != nil {
				fail(err)
			}
		})
	}
	running.Wait()
	done()
	asking.Wait()
	return context.Cause(ctx)
}

// wait lets events of a rate come at random, as those of people who do not know of each other: some are close together.
// It reports whether the context has not ended.
func wait(ctx context.Context, rate float64) bool {
	t := time.NewTimer(gap(rate))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// live is the life of an order.
func (l *load) live(ctx context.Context, o order) error {
	url := l.orders + "/orders/" + o.ID
	if err := l.call(ctx, "place", http.MethodPost, l.orders+"/orders", o.json()); err != nil {
		return err
	}
	if err := l.call(ctx, "show", http.MethodGet, url, nil); err != nil {
		return err
	}
	return l.call(ctx, "close", http.MethodPost, url+"/"+o.end, nil)
}

// call makes one call and notes how long it took until the last byte of the answer.
func (l *load) call(ctx context.Context, name, method, url string, body []byte) error {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return errors.New(method + " " + url + ": " + resp.Status + ": " + string(answer))
	}
	l.times.add(name, time.Since(began))
	return nil
}
