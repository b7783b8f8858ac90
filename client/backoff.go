// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is how long to wait before trying again: a random time up to a bound that doubles, so that many clients that
// lost the same gateway do not come back all at once.
type backoff struct {
	least, most time.Duration
	failures    int
}

func (b *backoff) next() time.Duration {
	bound := b.most
	if shifted := b.least << b.failures; b.failures < 32 && shifted > 0 && shifted < b.most {
		bound = shifted
	}
	b.failures++
	return rand.N(bound + 1)
}

func (b *backoff) reset() { b.failures = 0 }

// wait reports whether ctx is still there after the time.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
