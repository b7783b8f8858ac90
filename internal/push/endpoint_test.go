// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

// TestOnlyTheProbeFrees: what was sent before the endpoint was blocked, and succeeds later, lets nobody through.
func TestOnlyTheProbeFrees(t *testing.T) {
	r := newRig(t, autobus.Policy{}, allowLoopback)
	synctest.Test(t, func(t *testing.T) {
		at := newEndpoint(&r.pusher.cfg, r.pusher.metrics, r.pusher.guard, r.list[0])
		begun := time.Now()
		at.note(judge(http.StatusForbidden, http.Header{}, begun), false)
		at.note(verdict{status: http.StatusOK}, false)
		entered := make(chan bool, 3)
		ctx, cancel := context.WithCancelCause(t.Context())
		lost := 0
		for range 3 {
			go func() {
				probe, err := at.enter(ctx)
				if err != nil {
					lost++
				}
				entered <- probe && err == nil
			}()
		}
		if !<-entered || time.Since(begun) != blockFirst {
			t.Errorf("after %s somebody entered who is no probe", time.Since(begun))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(entered) > 0 {
			t.Error("a second one entered beside the probe")
		}
		at.note(judge(http.StatusForbidden, http.Header{"Retry-After": {"300"}}, time.Now()), true)
		begun = time.Now()
		if !<-entered || time.Since(begun) != 5*time.Minute {
			t.Errorf("the next probe came after %s, not after Retry-After", time.Since(begun))
		}
		cause := errors.New("over")
		cancel(cause)
		if <-entered || lost != 1 {
			t.Error("the end of a handler did not end its wait")
		}
		at.note(verdict{err: cause, about: nobody}, true)
		if probe, err := at.enter(t.Context()); !probe || err != nil {
			t.Errorf("after a probe that was given up: %v, %v", probe, err)
		}
		at.note(verdict{status: http.StatusOK}, true)
		if probe, err := at.enter(t.Context()); probe || err != nil || at.now().Blocked != nil {
			t.Errorf("after a probe that succeeded: %v, %v", probe, err)
		}
	})
}
