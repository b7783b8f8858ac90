// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// headroom leaves what waits for the brokers out of the garbage collector's reckoning.
//
// The collector lets the heap grow by GOGC percent of what lives in it, 100 unless the process was started with
// another value. What waits for brokers that are away lives as long as they are away: for each byte of it there would
// be another one of garbage. So while something waits the percentage is as much less as gives the rest of the heap the
// room that it has otherwise. It costs collections, in an outage only.
type headroom struct {
	waiting func() int64 // bytes
	gogc    int64        // as the process was started
	now     int64        // as it is set

	cycles uint64
	rest   int64 // what lived besides at the latest collection
}

const (
	headroomEvery = 250 * time.Millisecond
	leastRest     = 16 << 20 // bytes of the rest, so that a small heap is not collected all the time
	leastChange   = 5        // percent; each change stops the process for a moment
	gogcOff       = 1 << 20  // percent; so much is GOGC=off, or as good as that
)

// Names of what the runtime tells.
const (
	metricGOGC   = "/gc/gogc:percent"
	metricCycles = "/gc/cycles/total:gc-cycles"
	metricLive   = "/gc/heap/live:bytes"
)

func newHeadroom(waiting func() int64) *headroom {
	gogc := []metrics.Sample{{Name: metricGOGC}}
	metrics.Read(gogc)
	h := &headroom{waiting: waiting, gogc: int64(min(gogc[0].Value.Uint64(), gogcOff))}
	h.now = h.gogc
	return h
}

// Run works until ctx ends.
func (h *headroom) Run(ctx context.Context) error {
	if h.gogc == gogcOff {
		return nil
	}
	tick := time.NewTicker(headroomEvery)
	defer tick.Stop()
	defer h.set(h.gogc)
	samples := []metrics.Sample{{Name: metricCycles}, {Name: metricLive}}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		metrics.Read(samples)
		h.set(h.percent(samples[0].Value.Uint64(), int64(samples[1].Value.Uint64()), h.waiting()))
	}
}

// percent is what GOGC has to be, by the number of collections, what lived at the latest, and what waits now.
func (h *headroom) percent(cycles uint64, live, waiting int64) int64 {
	if cycles != h.cycles {
		h.cycles, h.rest = cycles, max(live-waiting, leastRest)
	}
	rest := max(h.rest, leastRest)
	return h.gogc * rest / (rest + waiting)
}

func (h *headroom) set(percent int64) {
	if percent == h.now || percent != h.gogc && percent > h.now-leastChange && percent < h.now+leastChange {
		return
	}
	h.now = percent
	debug.SetGCPercent(int(percent))
}
