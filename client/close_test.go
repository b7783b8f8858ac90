// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// A batch that had got room when the client was given up is settled all the same.
func TestPublishWhileTheClientIsGivenUp(t *testing.T) {
	q := newCourier(1<<20, time.Minute, func() *autobus.Error { return nil })
	if err := q.enter(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.close(over); err == nil {
		t.Error("close says that nothing is left")
	}
	q.abandon()
	b := &autobus.Batch{Events: make([]autobus.Event, 2)}
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	p := &parcel{batch: b, size: 10, due: time.Now().Add(time.Minute)}
	p.open.Store(2)
	q.queueUp(p)
	for _, r := range b.Wait(over) {
		if r.Status != autobus.Refused {
			t.Errorf("the outcome is %s, %v", r.Status, r.Err)
		}
	}
	if q.used != 0 {
		t.Errorf("%d bytes are held for ever", q.used)
	}
}
