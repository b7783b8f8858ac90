// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/autobus-io/autobus"
)

// While the brokers are away an event waits in memory, after its publisher was told that the outcome is unknown. It
// must not hold what else came with it: neither the rest of its request, nor the other events of its batch.
func TestWhatWaitsForTheBrokersHoldsNotItsRequest(t *testing.T) {
	f := open(t)
	f.one(t, order("a", "1")) // the route is open
	_ = f.broker.Close()
	publish := func(id string) weak.Pointer[byte] {
		event := order(id, "2").Data
		request := append(bytes.Clone(event), make([]byte, 1<<20)...)
		b := &autobus.Batch{Events: []autobus.Event{{Type: orders, Data: request[:len(event):len(event)]}}}
		if err := f.Publish(f.ctx, b); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if rc := b.Wait(ctx)[0]; rc.Status != autobus.Unknown {
			t.Fatalf("receipt %+v", rc)
		}
		b.Forget()
		return weak.Make(&request[0])
	}
	publish("a") // nobody knows yet that the brokers are away
	request := publish("a")
	for range 3 {
		runtime.GC()
	}
	if request.Value() != nil {
		t.Error("the event that waits holds its request")
	}
}
