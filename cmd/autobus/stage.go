// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// stage is a set of parts that end together.
type stage struct {
	ctx    context.Context //nolint:containedctx // the life of the parts, which outlives the call that starts them
	cancel context.CancelFunc
	parts  sync.WaitGroup
}

func newStage() *stage {
	ctx, cancel := context.WithCancel(context.Background())
	return &stage{ctx: ctx, cancel: cancel}
}

// end tells the parts to stop and waits until they have.
func (s *stage) end() {
	s.cancel()
	s.parts.Wait()
}

// run starts a part in a stage. A part that fails ends the instance.
func (in *instance) run(s *stage, name string, run func(context.Context) error) {
	s.parts.Go(func() {
		err := run(s.ctx)
		if err == nil {
			return
		}
		select {
		case in.failed <- fmt.Errorf("%s: %w", name, err):
		default: // the first failure is the one to tell
			in.logger.Error("another part failed", "part", name, "error", err)
		}
	})
}

// wait returns when ctx ends, which is no error, or when a part fails.
func (in *instance) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-in.failed:
		return err
	}
}

// appendsTimeout is how long the brokers may take for what was handed to them before the stop.
const appendsTimeout = 10 * time.Second

// stop ends the instance in stages: pushing ends, workers hand back, edges drain, the bus drains, what they stand on
// ends, the log closes. It works on an instance that is not fully open.
func (in *instance) stop() error {
	in.ready.SetDraining()
	in.pushes.end()
	if in.bus != nil {
		// While requests are still answered: workers settle what they have in hand.
		handing, cancel := context.WithTimeout(context.Background(), appendsTimeout)
		in.bus.DrainDeliveries(handing)
		cancel()
	}
	in.edges.end()
	if in.peers != nil {
		in.peers.Close() // requests that settle leases of others are over by now
	}
	var errs []error
	closing, cancel := context.WithTimeout(context.Background(), appendsTimeout)
	defer cancel()
	if in.bus != nil {
		if err := in.bus.Drain(closing); err != nil {
			errs = append(errs, fmt.Errorf("events were still in flight: %w", err))
		}
	}
	in.core.end()
	if in.log != nil {
		errs = append(errs, in.log.Close(closing))
	}
	if in.embedded != nil {
		errs = append(errs, in.embedded.Close())
	}
	// The servers close them; here it matters when there were none yet.
	for _, ln := range []net.Listener{in.listener, in.schemas} {
		if ln != nil {
			_ = ln.Close()
		}
	}
	return errors.Join(errs...)
}
