// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// tail knows how far a partition was read and applied here, and lets others wait for more.
type tail struct {
	log *kafka.Log
	tp  kafka.TP

	mu    sync.Mutex
	next  int64         // first offset not yet applied
	moved chan struct{} // closed when next changes
}

func newTail(log *kafka.Log, tp kafka.TP) *tail {
	return &tail{log: log, tp: tp, moved: make(chan struct{})}
}

// end is the offset behind the last record applied.
func (t *tail) end() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// reach says that everything before next is applied.
func (t *tail) reach(next int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = next
	close(t.moved)
	t.moved = make(chan struct{})
}

// await returns when everything before offset is applied.
func (t *tail) await(ctx context.Context, offset int64) error {
	for {
		t.mu.Lock()
		reached, moved := t.next >= offset, t.moved
		t.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return autobus.NewError(autobus.ReasonClusterUnreachable, "%s was not read up to offset %d in time", t.tp.Topic,
				offset).WithCause(ctx.Err())
		}
	}
}

// barrier returns when everything is applied that was in the log before the call.
func (t *tail) barrier(ctx context.Context) error {
	ends, err := t.log.Ends(ctx, t.tp.Topic)
	if err != nil {
		return err
	}
	end, exists := ends[t.tp]
	if !exists { // nothing that is known here says that it is current
		return autobus.NewError(autobus.ReasonClusterUnreachable, "the brokers do not know %s now", t.tp.Topic)
	}
	return t.await(ctx, end)
}

// pause is how long a loop waits before it asks a cluster again that gave an error.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
}
