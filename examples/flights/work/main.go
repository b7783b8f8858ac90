// SPDX-License-Identifier: Apache-2.0

// Command work is one worker of a subscription: it takes flights from the bus, writes each into its own
// file, and acks what is written. It knows nothing of Kafka: one stream brings events, one request settles them, as a
// worker in any language could do it.
//
// It may be killed at any moment. What it had not acked comes again, to another worker or to its successor, so a flight
// may stand in the files twice; whoever reads them counts each id once (../sum).
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
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
	w := worker{token: os.Getenv("AUTOBUS_TOKEN")}
	flag.StringVar(&w.server, "server", "http://localhost:7070", "address of the bus; AUTOBUS_TOKEN is the token, if any")
	flag.StringVar(&w.subscription, "subscription", "flights-tally", "whose events to take")
	flag.IntVar(&w.window, "window", 20, "how many events to hold at once")
	flag.DurationVar(&w.pace, "pace", 0, "how long the work on one event takes")
	out := flag.String("out", "", "file to append to")
	flag.Parse()
	if err := w.run(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, "work:", err)
		os.Exit(1)
	}
}

type worker struct {
	server, subscription, token string
	window                      int
	pace                        time.Duration
	out                         *os.File
}

// run works until ctx ends. The bus may go away and come back.
func (w *worker) run(ctx context.Context, out string) (err error) {
	if w.out, err = os.OpenFile(out, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	defer func() {
		if e := w.out.Close(); err == nil {
			err = e
		}
	}()
	for ctx.Err() == nil {
		if err := w.stream(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "work: connecting again:", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// frame is a line of the stream, as far as it matters here.
type frame struct {
	Op         string     `json:"op"`
	Deliveries []delivery `json:"deliveries"`
	Error      *struct {
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	} `json:"error"`
}

type delivery struct {
	Lease string `json:"lease"`
	Event struct {
		ID   string       `json:"id"`
		Type string       `json:"type"`
		Data table.Flight `json:"data"`
	} `json:"event"`
}

// stream is one session.
func (w *worker) stream(ctx context.Context) error {
	resp, err := w.do(ctx, http.MethodGet, fmt.Sprintf("/stream?window=%d", w.window), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 2*autobus.MaxEventBytes)
	for lines.Scan() {
		var f frame
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return fmt.Errorf("%w in the line %.300s", err, lines.Bytes())
		}
		if f.Error != nil {
			return fmt.Errorf("%s: %s", f.Error.Reason, f.Error.Detail)
		}
		for _, d := range f.Deliveries {
			if err := w.handle(ctx, d); err != nil {
				return err
			}
		}
	}
	return io.ErrUnexpectedEOF // a stream never ends by itself
}

// handle does the work, and acks when it is done and not before.
func (w *worker) handle(ctx context.Context, d delivery) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(w.pace):
	}
	line, err := json.Marshal(table.Line{Type: d.Event.Type, ID: d.Event.ID, Flight: d.Event.Data})
	if err != nil {
		return err
	}
	if _, err := w.out.Write(append(line, '\n')); err != nil {
		return err
	}
	body := fmt.Sprintf(`{"results":[{"lease":%q,"outcome":"ack"}]}`, d.Lease)
	resp, err := w.do(ctx, http.MethodPost, "/acks", []byte(body))
	if err != nil {
		return err
	}
	// An ack that came too late is no fault: the event comes again and is counted once.
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}

// do sends a request about the subscription.
func (w *worker) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	url := w.server + "/v1/subscriptions/" + w.subscription + path
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		defer resp.Body.Close()
		problem, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // only to be shown
		return nil, fmt.Errorf("%s: %s", resp.Status, problem)
	}
	return resp, nil
}
