// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
)

// PushInfo is how pushing to a subscription's endpoint goes at one instance.
type PushInfo struct {
	LastStatus int        `json:"last_status,omitempty"` // of HTTP; 0 = there was no answer
	LastError  string     `json:"last_error,omitempty"`  // of the latest failure, also when requests succeed since
	LastTime   *time.Time `json:"last_time,omitempty"`   // when the latest request ended
	Blocked    *time.Time `json:"blocked,omitempty"`     // since when the endpoint takes nothing, whichever event it is
	Next       *time.Time `json:"next,omitempty"`        // when it is asked again; with Blocked
}

// checkPush refuses an endpoint that this instance would not push to. It is asked after the grants: it looks up names
// and files.
func (b *Bus) checkPush(ctx context.Context, p autobus.Policy) error {
	push := p.Delivery.Push
	switch {
	case push == nil:
		return nil
	case b.cfg.CheckPush == nil:
		return autobus.NewError(autobus.ReasonSubscriptionInvalid, "this instance does not push")
	}
	return asError(b.cfg.CheckPush(ctx, *push))
}

// judgePush tells what is wrong with the endpoint.
func (q *inquiry) judgePush(here string) {
	if i, ok := q.bus.cfg.Pushes(q.name); ok && i.Blocked != nil {
		q.add(whyProblem, WhyPush, here, "mend the endpoint; it goes on by itself, and no attempt is counted meanwhile",
			"cannot push to the endpoint, since %s: %s", age(*i.Blocked), clipFailure(i.LastError))
	}
}
