// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// way is one way to ask the same question.
type way struct {
	name string
	call func(context.Context) error
	all  taken
}

// compare asks at the same rate over HTTP without a bus and in both ways over the bus, in rounds.
func (m *measure) compare(ctx context.Context) error {
	direct, closeDirect, err := m.direct()
	if err != nil {
		return err
	}
	defer closeDirect()
	stop, err := m.server(ctx, 64, echo)
	if err != nil {
		return err
	}
	defer stop() //nolint:errcheck // what counts are the calls
	c, err := m.caller(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	base, _, _ := strings.Cut(m.url, ",")
	ways := []*way{
		{name: "direct HTTP", call: m.post(direct)},
		{name: "package ipc", call: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return m.ask(ctx, c)
		}},
		{name: "POST /v1/requests", call: m.post(base + "/v1/requests/" + quotes + "?timeout=" + patience.String())},
	}
	fmt.Fprintf(m.out, "%d requests a second, %d rounds of %s for each\n", m.rate, m.rounds, m.round)
	for _, w := range ways {
		load(ctx, m.rate, time.Second, w.call) // connections are made, pages are touched
	}
	for range m.rounds {
		for _, w := range ways {
			w.all.add(load(ctx, m.rate, m.round, w.call))
		}
	}
	var failed int
	for _, w := range ways {
		fmt.Fprintf(m.out, "  %-18s %s\n", w.name, &w.all)
		failed += len(w.all.failed)
	}
	for _, w := range ways[1:] {
		fmt.Fprintf(m.out, "  %-18s p50 %+.1f ms, p99 %+.1f ms against direct\n", w.name,
			float64(w.all.at(50)-ways[0].all.at(50))/1e6, float64(w.all.at(99)-ways[0].all.at(99))/1e6)
	}
	fmt.Fprintf(m.out, "  %d answers went astray\n", m.crossed.Load())
	if failed > 0 {
		return fmt.Errorf("%d calls failed", failed)
	}
	return nil
}

// patience is how long a call waits for its answer.
const patience = 30 * time.Second

// direct starts an HTTP service that answers as those on the bus do.
func (m *measure) direct() (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.Copy(w, r.Body) // a client that left does not read it
		})}
	go s.Serve(l) //nolint:errcheck // it ends by stop
	return "http://" + l.Addr().String(), func() { _ = s.Close() }, nil
}

// post makes a call that posts a request and reads its answer.
func (m *measure) post(url string) func(context.Context) error {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	return func(ctx context.Context) error {
		n := nonce{m.next.Add(1)}
		body, _ := json.Marshal(n) // a number always can be
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		if m.token != "" && strings.Contains(url, "/v1/") {
			req.Header.Set("Authorization", "Bearer "+m.token)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		var got nonce
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, text)
		}
		if err := json.Unmarshal(text, &got); err != nil {
			return err
		}
		return m.check(n, got)
	}
}

// drained waits until nothing of the subscription is undone.
func (m *measure) drained(ctx context.Context) error {
	base, _, _ := strings.Cut(m.url, ",")
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/subscriptions/"+pricing+"/lag", http.NoBody)
		if err != nil {
			return err
		}
		if m.token != "" {
			req.Header.Set("Authorization", "Bearer "+m.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		var lag struct {
			Behind     int64      `json:"behind"`
			Undone     int64      `json:"undone"`
			Partitions []struct{} `json:"partitions"`
		}
		err = json.NewDecoder(resp.Body).Decode(&lag)
		_ = resp.Body.Close() // it is read
		switch {
		case err != nil:
			return err
		case resp.StatusCode == http.StatusOK && len(lag.Partitions) > 0 && lag.Behind == 0 && lag.Undone == 0:
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
