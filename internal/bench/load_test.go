// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := load{callers: 4, batch: 10, lasts: time.Second}
		s, err := l.run(t.Context(), func(context.Context, int, int) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		if err != nil || s.events != 400 || s.took != time.Second || s.latency.n != 40 ||
			s.latency.max != 100*time.Millisecond {
			t.Errorf("%d events in %s, %d calls of at most %s: %v", s.events, s.took, s.latency.n, s.latency.max, err)
		}
	})
}

// At a rate, a call that is slow makes those behind it late, and their times say so.
func TestRateDoesNotHideSlowness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := load{callers: 1, batch: 1, rate: 10, lasts: time.Second}
		s, err := l.run(t.Context(), func(_ context.Context, _, first int) error {
			if first == 3 {
				time.Sleep(250 * time.Millisecond)
			}
			return nil
		})
		if err != nil || s.events != 10 {
			t.Fatalf("%d events: %v", s.events, err)
		}
		// Call 3 takes 250 ms, 4 and 5 begin 150 and 50 ms late, the others are in time.
		if late := s.latency.quantile(0.9); late < 150*time.Millisecond || s.latency.quantile(0.8) < 50*time.Millisecond ||
			s.latency.quantile(0.7) != 0 || s.latency.max != 250*time.Millisecond {
			t.Errorf("quantiles %s %s %s, max %s", s.latency.quantile(0.7), s.latency.quantile(0.8), late, s.latency.max)
		}
	})
}

func TestAFailedCallEndsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		l := load{callers: 2, batch: 5, lasts: time.Hour}
		s, err := l.run(t.Context(), func(ctx context.Context, caller, first int) error {
			if caller == 1 && first == 10 {
				return broken
			}
			time.Sleep(time.Second)
			return nil
		})
		if !errors.Is(err, broken) || s.events < 10 || s.events > 25 {
			t.Errorf("%d events: %v", s.events, err)
		}
	})
}
