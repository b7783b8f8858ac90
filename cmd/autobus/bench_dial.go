// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

// dial opens a connection of its own to the gateway. The client tries for ever to reach one, so whether it is there and
// takes the token is asked before.
func (s *benchSite) dial(ctx context.Context) (bus autobus.Bus, hangUp func(), err error) {
	if err := s.answers(ctx); err != nil {
		return nil, nil, err
	}
	c, err := client.New(client.Config{URL: s.target.URL, Token: s.target.Token, Service: "autobus-bench",
		Version: readBuildInfo().Version, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	return c, func() {
		closing, cancel := context.WithTimeout(context.Background(), hangUpTime)
		defer cancel()
		// What it would say is that something is in flight, and then the round failed already.
		_ = c.Close(closing)
	}, nil
}

const hangUpTime = 5 * time.Second
