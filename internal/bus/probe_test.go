// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	f := open(t)
	for range 2 {
		if err := f.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.records(t, "_autobus.canary")); n != 2 {
		t.Errorf("%d events of the bus's own", n)
	}
	_ = f.broker.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.Probe(ctx); err == nil {
		t.Error("the probe passes without a broker")
	}
}
