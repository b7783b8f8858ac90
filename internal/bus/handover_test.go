// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A partition that goes while a rejected event is on its way to the dead letters waits for the letter: otherwise the
// next owner would not know of it, and the event would be a dead letter and come again as well.
func TestAPartitionThatGoesWaitsForItsDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := &group{}, &partition{leased: 1}
		ended := false
		go func() {
			g.settled(context.Background(), []*partition{p}, time.Hour)
			ended = true
		}()
		step := func(change func()) bool {
			g.mu.Lock()
			change()
			p.rest()
			g.mu.Unlock()
			synctest.Wait()
			return ended
		}
		if step(func() {}) || step(func() { p.leased-- }) != true {
			t.Fatal("what is leased is not waited for, or nothing ends it")
		}
		ended, p.leased = false, 1
		began := time.Now()
		go func() {
			g.settled(context.Background(), []*partition{p}, time.Hour)
			ended = true
		}()
		synctest.Wait()
		// The worker rejects it: no lease is left, and the letter is on its way.
		g.mu.Lock()
		p.leased--
		p.rest()
		p.burying++
		g.mu.Unlock()
		if synctest.Wait(); ended {
			t.Error("it goes before the letter is written")
		}
		if !step(func() { p.burying-- }) || time.Since(began) != 0 {
			t.Errorf("ended %t after %s", ended, time.Since(began))
		}
	})
}
