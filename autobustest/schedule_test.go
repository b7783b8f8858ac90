// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

func TestAScheduledEventComesWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		came, ended := make(chan time.Time, 1), make(chan error, 1)
		go func() {
			ended <- bus.Subscribe(ctx, autobus.Subscription{Tail: []string{"*"}},
				func(_ context.Context, ds []autobus.Delivery) {
					if _, told := ds[0].Ext(autobus.ExtDeliverAt); told {
						t.Errorf("delivered %+v", ds[0])
					}
					came <- time.Now()
				})
		}()
		synctest.Wait()
		due := time.Now().Add(24 * time.Hour)
		rc, err := autobus.Send(ctx, bus, "a.b.v1", 1, autobus.WithDelay(24*time.Hour))
		if err != nil || rc.Scheduled == nil || !rc.Scheduled.At.Equal(due) {
			t.Errorf("%+v, %v", rc, err)
		}
		if at := <-came; !at.Equal(due) {
			t.Errorf("it came at %s, it was due at %s", at, due)
		}
		_, err = autobus.Send(ctx, bus, "a.b.v1", 1, autobus.WithDelay(-time.Hour))
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonScheduleInvalid}) {
			t.Errorf("in the past: %v", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
