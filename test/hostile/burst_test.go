// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	burstEvents  = 200_000
	burstBatch   = 1000
	burstClients = 8
)

// burst: one client publishes another type as fast as it is taken.
func (a *arena) burst(ctx context.Context, t *testing.T) {
	var left, written, again atomic.Int64
	left.Store(burstEvents / burstBatch)
	begun := time.Now()
	only(t, many(burstClients, func(int) string {
		for left.Add(-1) >= 0 || time.Since(begun) < leastTime {
			var b strings.Builder
			for i := range burstBatch {
				fmt.Fprintf(&b, `,{"specversion":"1.0","id":"%s","source":"/burst","type":"%s","data":{"key":"k%d","at":%d}}`,
					fmt.Sprint(time.Now().UnixNano(), "-", i), otherType, i%100, i)
			}
			r, err := a.ask(ctx, a.client, "mallory", http.MethodPost, "/v1/events", "application/cloudevents-batch+json",
				strings.NewReader("["+b.String()[1:]+"]"))
			if err != nil {
				return err.Error()
			}
			if r.status == http.StatusServiceUnavailable {
				again.Add(1)
				left.Add(1)
				continue
			}
			if r.status != http.StatusOK {
				return r.said()
			}
			written.Add(int64(strings.Count(string(r.body), `"status":"written"`)))
		}
		return "done"
	}), "done")
	took := time.Since(begun)
	t.Logf("figures: %d events in %.1f s, %.0f a second, %d batches refused by capacity", written.Load(), took.Seconds(),
		float64(written.Load())/took.Seconds(), again.Load())
	if written.Load() < burstEvents {
		t.Errorf("%d events were written", written.Load())
	}
}
