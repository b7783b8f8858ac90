// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

// dial opens the bus for a command that works on it until it is stopped. The client tries for ever; whether the bus is
// there and takes the token is asked before. hangUp gives what is in flight a moment.
func (a *app) dial(
	ctx context.Context, service string, logger *slog.Logger,
) (bus autobus.Bus, hangUp func(), err error) {
	c, err := a.api()
	if err != nil {
		return nil, nil, err
	}
	_, err = c.get(ctx, "/v1/status", a.timeout)
	c.close()
	if err != nil {
		return nil, nil, err
	}
	opened, err := client.New(client.Config{URL: c.base.String(), Token: c.token, Service: service,
		Version: readBuildInfo().Version, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return opened, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangUpTime)
		defer cancel()
		_ = opened.Close(closing) // what it would say is that something is in flight, and that was told
	}, nil
}
