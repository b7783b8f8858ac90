// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// TestKillKeepers is the short form of T17, on the embedded broker: there all is due so soon that nothing hops from
// tier to tier.
func TestKillKeepers(t *testing.T) {
	killKeepers(t, devStand(t), scale{kills: 4}, &row{})
}

// killKeepers schedules events for the time to come and kills who keeps them, again and again, at moments when many are
// due at once: of two gateways one after the other, of `autobus dev` the only one. All have to be published, none
// before its time, late only what was due while nobody knew that the keeper was dead; twice only what hopped from topic
// to topic at a kill.
func killKeepers(t *testing.T, s *stand, sc scale, r *row) {
	const bunch = 60 // events that are due at the same time, when somebody is killed
	events, every, recovery := 200, 2*time.Second, 5*time.Second
	if sc.full {
		events, every, recovery = 10_000-sc.kills*bunch, 20*time.Second, sessionTimeout+5*time.Second
	}
	gs := []*gateway{s.start(t)}
	if g := s.second(t); g != nil {
		gs = append(gs, g)
	}
	a := newAgenda(t, s)
	defer a.unwatch()
	longest := time.Duration(sc.kills) * every
	for left := events; left > 0; left -= 500 {
		a.schedule(t, gs[0], min(500, left), func() time.Time { return time.Now().Add(time.Second + rand.N(longest)) })
	}
	var kills []time.Time
	hits := func() int {
		bustest.Eventually(t, "everything to be published that was due", func(context.Context) bool { return a.due(t) })
		return a.hits(t, kills)
	}
	for next := time.Now(); len(kills) < sc.kills || !sc.full && len(kills) < 20 && hits() == 0; next = next.Add(every) {
		<-time.After(time.Until(next))
		victim := len(kills) % len(gs)
		at := time.Now().Add(1500 * time.Millisecond)
		a.schedule(t, gs[len(gs)-1-victim], bunch, func() time.Time { return at })
		<-time.After(time.Until(at) + rand.N(4*time.Millisecond))
		kills = append(kills, time.Now())
		gs[victim].mustKill(t)
		gs[victim] = s.start(t)
	}
	limit := a.last().Add(bustest.Patience)
	for !a.complete(t) {
		if time.Now().After(limit) {
			t.Fatalf("%d of %d events are published", len(a.came), len(a.events))
		}
		<-time.After(time.Second)
	}
	a.unwatch()

	rep, hit := a.judge(t, kills), a.hits(t, kills)
	if hit == 0 || sc.full && hit*2 < len(kills) {
		t.Errorf("%d of %d kills found something that was being published: that proves little", hit, len(kills))
	}
	late, rest := a.lateness(kills, recovery)
	most, p99 := slices.Max(append(late, rest...)), percentile(rest, 99)
	if sc.full && most > 25*time.Second {
		t.Errorf("an event was late by %s, more than 25 s", most)
	}
	if sc.full && p99 > 2*time.Second {
		t.Errorf("the 99th percentile of the events that were due while the keepers lived is %s, more than 2 s", p99)
	}
	r.rate, r.result = "-", fmt.Sprintf("%d of %d lost, %d early; %d kills, %d of them while events were published; late "+
		"p99 %s, at most %s within %s of a kill (%d events), p99 %s otherwise; %d further copies, each of what hopped at a "+
		"kill",
		count(rep, bustest.Lost), rep.Written, count(rep, bustest.Early), len(kills), hit, seconds(percentile(late, 99)),
		seconds(most), recovery, len(late), p99.Round(time.Millisecond), rep.Hops)
	t.Logf("figures: %s", r.result)
}

func percentile(all []time.Duration, n int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)*n/100, len(all)-1)]
}

// agenda is what was scheduled, and when it was seen in the log.
type agenda struct {
	*load
	stand   *stand
	events  map[string]time.Time // when each is due, by id
	unwatch func()

	mu   sync.Mutex
	came map[string][]time.Time // each copy
}

// newAgenda watches the log of a cluster. The embedded broker dies with its bus: there the records say when they came.
func newAgenda(t *testing.T, s *stand) *agenda {
	a := &agenda{load: newLoad(s.typ, 0, nil, 0), stand: s, events: map[string]time.Time{},
		came: map[string][]time.Time{}, unwatch: func() {}}
	if s.cluster == nil {
		return a
	}
	from := map[kafka.TP]int64{}
	for p := range int32(partitions) {
		from[kafka.TP{Topic: s.typ, Partition: p}] = 0
	}
	reader, err := s.cluster.Open(t).Follow(from)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		defer reader.Close()
		for ctx.Err() == nil {
			records, err := reader.Poll(ctx)
			if err != nil && ctx.Err() == nil {
				t.Errorf("watch the log: %v", err)
				return
			}
			a.saw(records, func(kafka.Record) time.Time { return time.Now() })
		}
	})
	a.unwatch = sync.OnceFunc(func() { cancel(); watching.Wait() })
	return a
}

func (a *agenda) saw(records []kafka.Record, when func(kafka.Record) time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range records {
		a.came[eventID(r)] = append(a.came[eventID(r)], when(r))
	}
}

// look reads the log where nobody watches it.
func (a *agenda) look(t *testing.T) {
	t.Helper()
	if a.stand.cluster != nil {
		return
	}
	records := bustest.ReadAll(t, a.stand.broker.Open(t), a.typ)
	a.mu.Lock()
	clear(a.came)
	a.mu.Unlock()
	a.saw(records, func(r kafka.Record) time.Time { return r.Time })
}

// schedule publishes n events for later, in one request. All have to be taken.
func (a *agenda) schedule(t *testing.T, g *gateway, n int, due func() time.Time) {
	t.Helper()
	var body bytes.Buffer
	items := make([]*item, n)
	for i := range items {
		id, at := fmt.Sprintf("later-%d", len(a.events)), due().Truncate(time.Millisecond)
		it := &item{key: id, event: autobus.Event{ID: id, Source: "/faults", Type: a.typ,
			Data: fmt.Appendf(nil, `{"order":%q}`, id)}}
		it.event.SetExt(autobus.ExtDeliverAt, at.UTC().Format(time.RFC3339Nano))
		it.attempt = a.history.Begin("later", it.event, it.key)
		a.events[id], items[i] = at, it
		body.Write(line(it))
	}
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/events?timeout=30s", &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	g.authorize(req)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	for _, it := range items {
		var res result
		if !in.Scan() || json.Unmarshal(in.Bytes(), &res) != nil || res.ID != it.event.ID || res.Status != "written" {
			t.Fatalf("%s for %s: %s", resp.Status, it.event.ID, in.Text())
		}
		it.attempt.End(autobus.Receipt{Status: autobus.Written})
	}
}

// due reports whether all is published that is due by now, complete whether everything is.
func (a *agenda) due(t *testing.T) bool      { return a.allUpTo(t, time.Now()) }
func (a *agenda) complete(t *testing.T) bool { return a.allUpTo(t, a.last()) }

func (a *agenda) allUpTo(t *testing.T, limit time.Time) bool {
	t.Helper()
	a.look(t)
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range a.events {
		if !at.After(limit) && len(a.came[id]) == 0 {
			return false
		}
	}
	return true
}

// last is when the last one is due.
func (a *agenda) last() (at time.Time) {
	for _, due := range a.events {
		if due.After(at) {
			at = due
		}
	}
	return at
}

// hits tells how many of the kills found something that was being published: due before, and only afterwards, or once
// more, in the log.
func (a *agenda) hits(t *testing.T, kills []time.Time) (hit int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, at := range kills {
		open, doubled := 0, 0
		for id, came := range a.came {
			due := a.events[id]
			switch {
			case due.After(at) || at.Sub(due) > 2*time.Second || !came[len(came)-1].After(at):
			case came[0].After(at):
				open++
			default:
				doubled++
			}
		}
		t.Logf("kill %d: %d events were due and not published, %d were and were published again", n+1, open, doubled)
		if open+doubled > 0 {
			hit++
		}
	}
	return hit
}

// judge lets the history judge, which takes the copies that hops explain.
func (a *agenda) judge(t *testing.T, kills []time.Time) bustest.Report {
	t.Helper()
	a.history.Hops = a.hops(t, kills)
	return a.load.judge(t, a.stand.broker)
}

// hops counts the further copies of events that were written somewhere, into a topic of delayed ones or into their own,
// in the last moments before a kill: that hop was not committed, so it was made again. Each such kill may double what
// there is of the event.
func (a *agenda) hops(t *testing.T, kills []time.Time) (n int) {
	t.Helper()
	topics := []string{a.typ, "_autobus.delay.due"}
	for tier := 3; tier <= 9; tier++ {
		topics = append(topics, fmt.Sprint("_autobus.delay.", tier))
	}
	written := map[string][]time.Time{}
	for _, r := range bustest.ReadAll(t, a.stand.broker.Open(t), topics...) {
		written[eventID(r)] = append(written[eventID(r)], r.Time)
	}
	for id, came := range a.came {
		most := 1
		for _, kill := range kills {
			if slices.ContainsFunc(written[id], func(at time.Time) bool {
				return !at.After(kill) && kill.Sub(at) < a.stand.commitTime()
			}) {
				most *= 2
			}
		}
		n += min(len(came), most) - 1
	}
	return n
}

// lateness tells how late events were: those that were due when a keeper was dead and nobody had noticed, and the rest.
func (a *agenda) lateness(kills []time.Time, recovery time.Duration) (late, rest []time.Duration) {
	for id, came := range a.came {
		due := a.events[id]
		if slices.ContainsFunc(kills, func(at time.Time) bool {
			return due.After(at.Add(-time.Second)) && due.Before(at.Add(recovery))
		}) {
			late = append(late, came[0].Sub(due))
		} else {
			rest = append(rest, came[0].Sub(due))
		}
	}
	return late, rest
}
