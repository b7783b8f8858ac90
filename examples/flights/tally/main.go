// SPDX-License-Identifier: Apache-2.0

// Command tally reads all flights from the bus, by a tail, and prints a table of flights, cancellations and minutes of
// departure delay per carrier. It knows nothing of Kafka: it is a plain HTTP client, as a service in any language could
// be.
//
// A tail never ends by itself. The tally is done when it has counted as many different events as it was told.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/examples/flights/table"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := flag.String("server", "http://localhost:7070", "address of the bus; AUTOBUS_TOKEN is the token, if any")
	events := flag.Int("n", 0, "how many different events there are")
	patience := flag.Duration("timeout", 5*time.Minute, "how long to wait for them")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	if err := tally(ctx, os.Stdout, *server, os.Getenv("AUTOBUS_TOKEN"), *events); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

// line is one line of a tail.
type line struct {
	Type  string `json:"type"`
	Event struct {
		ID   string       `json:"id"`
		Data table.Flight `json:"data"`
	} `json:"event"`
	Heartbeat string `json:"heartbeat"`
	Error     *struct {
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	} `json:"error"`
}

// tally writes the table of n different events.
func tally(ctx context.Context, out io.Writer, server, token string, n int) error {
	if n <= 0 {
		return errors.New("-n must say how many events there are")
	}
	body, err := open(ctx, server, token)
	if err != nil {
		return err
	}
	defer body.Close()
	var t table.Table
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 2*autobus.MaxEventBytes)
	read := 0
	for t.Events() < n && lines.Scan() {
		var l line
		switch err := json.Unmarshal(lines.Bytes(), &l); {
		case err != nil:
			return fmt.Errorf("%w in the line %.300s", err, lines.Bytes())
		case l.Error != nil:
			return fmt.Errorf("the bus ended the tail: %s: %s", l.Error.Reason, l.Error.Detail)
		case l.Heartbeat != "":
			continue
		}
		if err := t.Add(l.Type, l.Event.ID, l.Event.Data); err != nil {
			return err
		}
		read++
	}
	if t.Events() < n {
		return fmt.Errorf("the tail ended after %d of %d different events: %w", t.Events(), n,
			errors.Join(lines.Err(), context.Cause(ctx)))
	}
	fmt.Fprintf(os.Stderr, "tally: read %d events, %d different ones\n", read, t.Events())
	return t.Write(out)
}

func open(ctx context.Context, server, token string) (io.ReadCloser, error) {
	q := url.Values{"type": {table.Departed, table.Cancelled}, "from": {"earliest"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/v1/tail?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		problem, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, errors.Join(fmt.Errorf("%s: %s", resp.Status, problem), err)
	}
	return resp.Body, nil
}
