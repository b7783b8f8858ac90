// SPDX-License-Identifier: Apache-2.0

// Command shop is the customers of all countries: each order of 1 to n is given back, through the BOB of its country,
// so many a second. A BOB that does not answer is asked again until it does.
//
// The arguments are the BOBs, such as ru=http://127.0.0.1:8001, and orders that are given back in the middle.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	n := flag.Int("n", 100, "how many orders of each country")
	rate := flag.Int("rate", 50, "how many requests a second")
	flag.Parse()
	if err := run(ctx, *n, *rate, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n, rate int, args []string) error {
	var countries, orders, between []string
	bobs := map[string]string{}
	for _, arg := range args {
		if country, url, ok := strings.Cut(arg, "="); ok {
			bobs[country] = url
			countries = append(countries, country)
		} else {
			between = append(between, arg)
		}
	}
	for i := range n {
		for c, country := range countries {
			orders = append(orders, fmt.Sprintf("%s-%d", strings.ToUpper(country), 1000*(c+1)+i+1))
		}
	}
	half := len(orders) / 2
	orders = append(append(orders[:half:half], between...), orders[half:]...)

	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var all sync.WaitGroup
	failed := make([]error, len(orders))
	for i, order := range orders {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		country, _, _ := strings.Cut(order, "-")
		url := bobs[strings.ToLower(country)] + "/refunds/" + order
		all.Go(func() {
			failed[i] = giveBack(ctx, url, fmt.Sprintf(`[{"itemId": %d, "reason": "wrong_size"}]`, i%17+1))
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// giveBack asks until there is an answer. The order may have been taken by a BOB that died before it could say so:
// PUT may be repeated.
func giveBack(ctx context.Context, url, items string) error {
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader(items))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			why, _ := io.ReadAll(resp.Body) // only to be shown
			resp.Body.Close()
			if resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusOK {
				return nil
			}
			return fmt.Errorf("%s: %s %s", url, resp.Status, why)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
