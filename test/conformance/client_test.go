// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestClient runs all of the suite through the Go client: one client per principal, whatever it does.
func TestClient(t *testing.T) {
	transport(t, newClientBus, bustest.Exercise, bustest.Features{NoDetached: "leases end with their session"})
}

func newClientBus(s *site, token string) autobus.Bus {
	c, err := client.New(client.Config{URL: "http://" + s.addr, Token: token, Logger: bustest.Logger(s.t)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			s.t.Errorf("close: %v", err)
		}
	})
	return c
}
