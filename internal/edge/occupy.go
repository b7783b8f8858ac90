// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"sync"

	"github.com/autobus-io/autobus"
)

// Occupy counts a request as a connection of its principal until it ends: one that waits for what comes, or goes on for
// as long as the client likes. The error says that he has as many as his quota allows.
func Occupy(ctx context.Context) *autobus.Error {
	r, _ := ctx.Value(requestKey{}).(request)
	who, known := autobus.PrincipalOf(ctx)
	if r.session == nil || !known {
		return nil
	}
	release, err := r.session.handler.Quotas.Of(who.Name).Connect()
	if err != nil {
		return err
	}
	r.session.atEnd(release)
	return nil
}

// Input of which events are not yet made lies in memory. One body or frame is bounded by its path, all together by
// these: what many connections begin and none of them ends must not fill the memory.
const (
	maxIntake  = 48 << 20 // of all requests, half of it of those of one principal
	freeIntake = 16 << 10 // of one request is not counted: ordinary requests pass in any case
	stepIntake = 16 << 10 // it is counted in
)

// intake is what lies in memory of all requests of a handler.
type intake struct {
	mu    sync.Mutex
	total int
	by    map[string]int // principal -> bytes
}

// Intake is what lies in memory of one request. It is for one goroutine, and ends with the request.
type Intake struct {
	of   *intake // nil = outside of a handler: nothing is counted
	who  string
	held int
}

// IntakeOf gives the account of the request of ctx; call it once per request.
func IntakeOf(ctx context.Context) *Intake {
	in := &Intake{}
	if r, ok := ctx.Value(requestKey{}).(request); ok && r.session != nil {
		who, _ := autobus.PrincipalOf(ctx)
		in.of, in.who = &r.session.handler.intake, who.Name
		r.session.atEnd(func() { _ = in.Hold(0) })
	}
	return in
}

// Hold says how many bytes of the request lie in memory now. The error says that there is no room for that many; what
// was held before still is.
func (in *Intake) Hold(n int) *autobus.Error {
	if !in.set(n, maxIntake) {
		return autobus.NewError(autobus.ReasonCapacity,
			"this instance reads %d MiB of requests at a time, half of it of one principal", maxIntake>>20).
			WithHint("Try again after retry_after; send smaller requests, or fewer at a time.")
	}
	return nil
}

// Keep is Hold for memory that is only kept to be used again: it may take half of the room. Without room nothing is
// held any more.
func (in *Intake) Keep(n int) bool {
	if in.set(n, maxIntake/2) {
		return true
	}
	in.set(0, maxIntake)
	return false
}

func (in *Intake) set(n, most int) bool {
	if n <= freeIntake {
		n = 0
	}
	n = (n + stepIntake - 1) / stepIntake * stepIntake
	if in.of != nil && n != in.held && !in.of.add(in.who, n-in.held, most) {
		return false
	}
	in.held = n
	return true
}

// add counts more bytes, or less, as long as there are at most so many in all, and half of that of one principal.
func (i *intake) add(who string, more, most int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.total+more > most || i.by[who]+more > most/2 {
		return false
	}
	if i.by == nil {
		i.by = map[string]int{}
	}
	i.total += more
	if i.by[who] += more; i.by[who] == 0 {
		delete(i.by, who)
	}
	return true
}
