// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// parkKeys has 50 of 800 keys fail for more than a minute, so that they are parked with all that comes behind them. The
// gateway that has them is killed while they are, and once more while they come back. Nothing may be skipped, no key
// may overtake itself, no attempt may be early, and the others have to flow as before. What a key waits for is a
// minute, so there is no short form; TestKilledInstancesKeepWhatIsParked is the same with an instance whose cable is
// cut.
func parkKeys(t *testing.T, s *stand, sc scale, r *row) {
	const (
		fails = 50
		watch = 15 * time.Second
	)
	g, l := s.start(t), newSource(s, sc.rate)
	c := newCrew(t, l.load, g, autobus.Policy{})
	f := &failing{last: map[place]time.Time{}}
	c.verdict = f.verdict
	c.hire(4+sc.rate/500, 4)
	standby := s.second(t)
	l.moveTo(t, standby)
	l.warm(t)
	from := time.Now()
	<-time.After(watch)
	undisturbed := f.share(c, l, from)

	f.choose(fails, l.load)
	bustest.Eventually(t, "all keys to fail", func(context.Context) bool { return f.failed() == fails })
	from = time.Now()
	<-time.After(watch)
	disturbed := f.share(c, l, from)
	var changes []change
	kill := func() {
		bustest.Eventually(t, "appends in flight", func(context.Context) bool { return l.sent() > 0 })
		ch := change{gone: g, next: standby, at: time.Now()}
		g.mustKill(t)
		c.goTo(standby)
		g, standby = standby, s.start(t)
		l.moveTo(t, standby)
		changes = append(changes, ch)
		c.deserted(t, ch.gone)
	}
	parked := c.lag(g).Parked
	kill()
	c.awaitAll(t, g)
	left := c.lag(g).Parked
	f.mend()
	bustest.Eventually(t, "parked keys to come back", func(context.Context) bool { return f.returned() >= fails/2 })
	coming := c.lag(g).Parked
	kill()
	if parked < fails || left < parked || coming == 0 {
		t.Errorf("%d events were parked at the first kill, %d after it, %d at the second: that proves nothing", parked, left,
			coming)
	}
	bustest.Eventually(t, "all keys to be back", func(context.Context) bool { return f.returned() == fails })
	l.settled(t)
	l.stop()
	c.awaitEnd(t, g)

	if n := c.lag(g).Parked; n != 0 {
		t.Errorf("%d events stay parked", n)
	}
	ratio := disturbed / undisturbed
	if sc.full && ratio < 0.9 {
		t.Errorf("the others flow at %.0f %% of the undisturbed rate, less than 90 %%", 100*ratio)
	}
	early, late, through := f.punctual(c, changes)
	if early > 0 {
		t.Errorf("%d attempts were early", early)
	}
	if most := time.Second + 3*parkFor/100; sc.full && late > most {
		t.Errorf("an attempt was late by %s, more than %s", late, most)
	}
	again := 0
	for _, a := range c.accounts(s, changes) {
		c.group.Repeats += a.left + a.recent
		again += a.left + a.recent
	}
	rep := c.judge(t, l, s)
	if rep.Dead > 0 {
		t.Errorf("%d dead letters", rep.Dead)
	}
	r.consumed(t, l, rep, "%d events of %d keys parked at the first kill, %d on their way back at the second; the others "+
		"at %.0f %% of the undisturbed rate; %d attempts early, at most %s late, %s over a kill; %d events came again, %d "+
		"were in flight or acked in the last second", parked, fails, coming, 100*ratio, early, seconds(late),
		seconds(through), rep.Repeats, again)
}

// warm waits until events are written and delivered as fast as they come.
func (s *source) warm(t *testing.T) {
	t.Helper()
	before := s.acked()
	bustest.Eventually(t, "load", func(context.Context) bool { return s.acked() > before+2000 })
}

// failing says which keys fail, and when.
type failing struct {
	mu     sync.Mutex
	keys   map[string]bool // value: it came back since
	mended bool
	last   map[place]time.Time // when the worker was given what it failed
}

// choose has keys fail from now on.
func (f *failing) choose(n int, l *load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = map[string]bool{}
	for i := range n {
		f.keys[fmt.Sprintf("%s-%d", l.streams[i%len(l.streams)].name, i/len(l.streams)*3)] = false
	}
}

func (f *failing) mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mended = true
}

func (f *failing) verdict(d autobus.Delivery) verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, fails := f.keys[string(d.Key)]; !fails {
		return verdict{}
	}
	at := place{d.Partition, d.Offset}
	if f.mended {
		if d.Attempt > 1 {
			f.keys[string(d.Key)] = true
		}
		return verdict{}
	}
	f.last[at] = time.Now()
	return verdict{Outcome: autobus.Outcome{Kind: autobus.Retry, Delay: parkFor, Reason: "not now"}}
}

// failed is how many keys did.
func (f *failing) failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.last)
}

// returned is how many keys did.
func (f *failing) returned() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, back := range f.keys {
		if back {
			n++
		}
	}
	return n
}

// share is how many events of the keys that do not fail were delivered since a time, of those that were written: what
// the machine has no time to publish is not the subscription's fault.
func (f *failing) share(c *crew, l *source, from time.Time) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	to, n := time.Now(), 0
	all := c.sightings(nil)
	for i := range all {
		if _, fails := f.keys[string(all[i].Key)]; !fails && all[i].at.After(from) {
			n++
		}
	}
	written := l.timeline().written().rate(from, to) * to.Sub(from).Seconds()
	others := 1 - float64(len(f.keys))/float64(len(l.streams)*l.keys)
	return float64(n) / (written * others)
}

// punctual tells how many of the attempts that were asked for came early, how late the latest one was that was due at
// the gateway where it was failed or well after a kill, and how late the latest of the others.
func (f *failing) punctual(c *crew, changes []change) (early int, late, through time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := c.sightings(nil)
	seen := map[place]bool{}
	for i := range all {
		d := &all[i]
		at, failed := f.last[d.place()]
		if !failed || d.Attempt < 2 || seen[d.place()] {
			continue
		}
		seen[d.place()] = true
		by := d.at.Sub(at) - parkFor
		if by < 0 {
			early++
		}
		if due := at.Add(parkFor); slices.ContainsFunc(changes, func(ch change) bool {
			return due.After(ch.at.Add(-time.Second)) && due.Before(ch.at.Add(sessionTimeout+5*time.Second))
		}) {
			through = max(through, by)
		} else {
			late = max(late, by)
		}
	}
	return early, late, through
}
