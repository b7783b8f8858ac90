// SPDX-License-Identifier: Apache-2.0

package client

import (
	"sync"

	"github.com/autobus-io/autobus"
)

// leases are those that are out: which connection to tell the outcome to, and what to take back when it breaks.
type leases struct {
	mu     sync.Mutex
	frames map[autobus.Lease]*held // by the lease of the frame
}

// held is what is out of one frame of deliveries.
type held struct {
	by      *attachment
	offsets map[int64]struct{}
}

func newLeases() *leases { return &leases{frames: map[autobus.Lease]*held{}} }

func (l *leases) add(frame autobus.Lease, by *attachment, ds []autobus.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.frames[frame]
	if h == nil || h.by != by {
		h = &held{by: by, offsets: make(map[int64]struct{}, len(ds))}
		l.frames[frame] = h
	}
	for i := range ds {
		h.offsets[ds[i].Offset] = struct{}{}
	}
}

// by tells by whom the leases of a frame came; nil = it is not known here.
func (l *leases) by(frame autobus.Lease) *attachment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.frames[frame]; h != nil {
		return h.by
	}
	return nil
}

func (l *leases) remove(ls []autobus.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lease := range ls {
		if frame, offset, ok := lease.Cut(); ok {
			l.take(frame, offset)
		}
	}
}

func (l *leases) take(frame autobus.Lease, offset int64) {
	h := l.frames[frame]
	if h == nil {
		return
	}
	delete(h.offsets, offset)
	if len(h.offsets) == 0 {
		delete(l.frames, frame)
	}
}

// settled takes back leases of one frame of which skip does not say otherwise.
func (l *leases) settled(frame autobus.Lease, offsets []int64, skip func(i int) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, offset := range offsets {
		if !skip(i) {
			l.take(frame, offset)
		}
	}
}

// drop takes back all that came by an attachment, and tells which.
func (l *leases) drop(by *attachment) (ls []autobus.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for frame, h := range l.frames {
		if h.by != by {
			continue
		}
		for offset := range h.offsets {
			ls = append(ls, frame.At(offset))
		}
		delete(l.frames, frame)
	}
	return ls
}
