// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"time"

	"github.com/autobus-io/autobus"
)

// lane is what stays in order: the rows of a type and key. Those of a type that have no key are one lane too, because
// the bus may find a key in their data.
type lane struct {
	typ   string
	key   string
	keyed bool
}

// scope is how far a failure reaches.
type scope int

const (
	ofRow  scope = iota // refused for good, whenever it is sent
	ofNone              // it only had to wait for another
	ofLane              // may work later
	ofType              // the type's surroundings are wrong: its spec, a grant, its topic
	ofBus               // nothing can be published
)

// reach judges a failure by its code, so that a reason of a newer gateway is judged rightly too.
func reach(r autobus.Receipt) scope {
	if r.Err == nil {
		return ofLane
	}
	switch r.Err.Reason {
	case autobus.ReasonPredecessorFailed:
		return ofNone
	case autobus.ReasonClusterUnreachable, autobus.ReasonServerUnreachable, autobus.ReasonStarting,
		autobus.ReasonShuttingDown:
		return ofBus
	}
	if r.Status == autobus.Unknown {
		return ofLane
	}
	switch r.Err.Code {
	case autobus.InvalidArgument, autobus.AlreadyExists:
		return ofRow
	case autobus.NotFound, autobus.PermissionDenied, autobus.FailedPrecondition, autobus.Unimplemented:
		return ofType
	case autobus.Unauthenticated, autobus.ResourceExhausted:
		return ofBus
	default:
		return ofLane
	}
}

// Bounds of the wait before something that failed is tried again.
const (
	minPause  = 200 * time.Millisecond
	maxPause  = 30 * time.Second
	maxPaused = 1000 // lanes and types at once; what fails beyond that is tried in every round
)

// pause is a wait, and when it ends.
type pause struct {
	until time.Time
	wait  time.Duration
}

// longer begins the next wait, twice as long.
func (p *pause) longer(now time.Time) {
	p.wait = min(max(2*p.wait, minPause), maxPause)
	p.until = now.Add(p.wait)
}

// pauses are the lanes and types that failed and wait, so that they hold up nobody else. They live as long as one term:
// a new relay tries everything at once.
type pauses struct {
	types map[string]*pause
	lanes map[lane]*pause
}

func newPauses() *pauses { return &pauses{types: map[string]*pause{}, lanes: map[lane]*pause{}} }

// failed begins the wait of a lane or of its type. It is called once for each in a round.
func (p *pauses) failed(l lane, s scope, now time.Time) {
	switch {
	case s == ofType && (p.types[l.typ] != nil || len(p.types) < maxPaused):
		if p.types[l.typ] == nil {
			p.types[l.typ] = &pause{}
		}
		p.types[l.typ].longer(now)
	case s == ofLane && (p.lanes[l] != nil || len(p.lanes) < maxPaused):
		if p.lanes[l] == nil {
			p.lanes[l] = &pause{}
		}
		p.lanes[l].longer(now)
	}
}

// worked ends the waits that a written event shows to be over.
func (p *pauses) worked(l lane) {
	delete(p.types, l.typ)
	delete(p.lanes, l)
}

// waiting gives what is not to be read now: types, and lanes as two lists of the same length; a nil key is that of the
// rows without one. next is when the first of them is to be tried again, zero without any.
func (p *pauses) waiting(now time.Time) (types, laneTypes []string, laneKeys []*string, next time.Time) {
	types, laneTypes, laneKeys = []string{}, []string{}, []*string{}
	soonest := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for typ, w := range p.types {
		if w.until.After(now) {
			types = append(types, typ)
			soonest(w.until)
		}
	}
	for l, w := range p.lanes {
		if !w.until.After(now) {
			continue
		}
		laneTypes = append(laneTypes, l.typ)
		if l.keyed {
			laneKeys = append(laneKeys, &l.key)
		} else {
			laneKeys = append(laneKeys, nil)
		}
		soonest(w.until)
	}
	return types, laneTypes, laneKeys, next
}
