// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"container/heap"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// slot is an event of a subscription that was read and is not done. All of it is guarded by its group.
//
//	waiting --> ready --> leased --> done
//	   ^          ^         |
//	   |          |         v
//	behind its    +----- pausing --> burying --> done
//	  key               (backoff)   (dead letter)
//
// One that is redriven begins as copying: until the park log has it, it is a dead letter and nothing else.
//
// Where the policy says so, an exhausted one is holding instead of burying: it waits until an operator acts.
type slot struct {
	part    *partition
	record  kafka.Record
	event   autobus.Event
	size    int
	lane    string // key of its queue within the partition; laneless when it waits for nobody
	inLane  bool
	state   slotState
	attempt int       // of the delivery at hand or to come, from 1
	first   time.Time // first delivery by this incarnation
	alone   bool      // its worker died with others in hand: it comes again with nothing beside it
	failure string    // why the last attempt failed
	expires time.Time // after that nobody is to begin it; zero = it may always be
	shadow  bool      // ready, but for another event of its key that a replay or the main flow has ready
	held    int64     // the subscription's record by which it waits for an operator; 0 = it does not
	bare    bool      // too large for a dead letter: only where it stands is told

	letter int64 // one past the number of the dead letter that it was redriven from; 0 = of none
	spent  int   // attempts before it was redriven, which do not count against the policy any more

	session *session // that holds the lease; nil for a detached one
	lease   uint32   // counter of the partition's frames; the low half of the fence
	at      time.Time
	index   int    // in the timers' heap, -1 = none
	saved   uint64 // state of the ledger that has to be committed before the next delivery; 0 = none

	copy *copied // what the park log has of it; nil = nothing
}

// expired reports whether nobody is to begin the event any more.
func (sl *slot) expired() bool {
	return !sl.expires.IsZero() && time.Now().After(sl.expires.Add(autobus.ExpiryGrace))
}

// busy reports whether something of the partition is with workers, or on its way to the dead letters or the park log.
func (p *partition) busy() bool {
	return p.phase != closed && (p.leased > 0 || p.burying > 0 || p.sending || len(p.out) > 0)
}

// rest tells whoever waits for it that nothing is.
func (p *partition) rest() {
	if p.idle != nil && !p.busy() {
		close(p.idle)
		p.idle = nil
	}
}

type slotState int

const (
	waiting slotState = iota // behind an earlier event of its key
	ready                    // to be handed out
	leased                   // handed out; at is the lease's end
	pausing                  // failed; at is when it may come again
	holding                  // exhausted: until an operator acts
	burying                  // exhausted: on its way to the dead letters; at is when to try again
	copying                  // redriven: it is there once its copy is written
	done
)

// timers holds the slots that wait for a moment, the next one first.
type timers []*slot

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	s := x.(*slot)
	s.index = len(*t)
	*t = append(*t, s)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	old := *t
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	s.index = -1
	return s
}

// set makes a slot wait until at.
func (t *timers) set(s *slot, at time.Time) {
	s.at = at
	if s.index >= 0 {
		heap.Fix(t, s.index)
		return
	}
	heap.Push(t, s)
}

func (t *timers) clear(s *slot) {
	if s.index >= 0 {
		heap.Remove(t, s.index)
	}
}
