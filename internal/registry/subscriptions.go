// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/autobus-io/autobus/spec"
)

// checkFilters finds filters of declared subscriptions that nothing could evaluate. The spec package leaves them alone:
// their language is the bus's.
func (r *Registry) checkFilters(s *spec.Snapshot) error {
	var faults spec.Problems
	for _, sub := range s.Subscriptions() {
		if r.cfg.CheckFilter == nil {
			break
		}
		if err := r.cfg.CheckFilter(sub.Policy.Filter, sub.Policy.Params); err != nil {
			faults = append(faults, spec.Problem{File: sub.File, Line: sub.Line,
				Message: fmt.Sprintf("the filter of subscription %s: %v", sub.Name, err),
				Hint:    "It must give true or false over data, id, source, type, subject, time, key, ext and params."})
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// Put makes a declared subscription, or gives it the policy it is declared with.
type Put func(context.Context, *spec.Subscription) error

// Subscribe makes each subscription that the specs in force declare, or gives it the policy they say; put does nothing
// where that is so already. One that is declared no more stays: it has a position, and events may wait for it.
func (r *Registry) Subscribe(ctx context.Context, put Put) error {
	var all error
	for _, sub := range r.Snapshot().Subscriptions() {
		if err := put(ctx, sub); err != nil {
			all = errors.Join(all, fmt.Errorf("subscription %s of %s: %w", sub.Name, sub.File, err))
		}
	}
	return all
}

// subscribeAgain is how long Follow waits after a failure.
const subscribeAgain = 5 * time.Second

// Follow does Subscribe after each swap, and again when it failed, until ctx ends.
func (r *Registry) Follow(ctx context.Context, put Put) error {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.swapped:
		case <-again:
		}
		again = nil
		bounded, cancel := context.WithTimeout(ctx, pushTimeout)
		err := r.Subscribe(bounded, put)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.cfg.Logger.Warn("declared subscriptions could not be made and will be tried again", "error", err)
			again = time.After(subscribeAgain)
		}
	}
}
