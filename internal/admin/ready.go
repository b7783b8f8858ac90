// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"sync/atomic"

	"github.com/autobus-io/autobus"
)

// Readiness says whether an instance should be sent requests. The zero value is not ready.
type Readiness struct {
	ready    atomic.Bool
	draining atomic.Bool
}

// SetReady says that the control log is replayed and that a publish of the instance's own came back.
func (r *Readiness) SetReady() { r.ready.Store(true) }

// SetDraining says that the instance is going down; there is no way back.
func (r *Readiness) SetDraining() { r.draining.Store(true) }

// Err says why the instance is not ready; nil when it is.
func (r *Readiness) Err() *autobus.Error {
	switch {
	case r.draining.Load():
		return autobus.NewError(autobus.ReasonShuttingDown, "this instance takes no new requests")
	case !r.ready.Load():
		return autobus.NewError(autobus.ReasonStarting,
			"this instance has not yet replayed the control log and seen an event of its own come back")
	}
	return nil
}
