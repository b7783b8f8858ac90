// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// flood is large events that many clients publish, one by one, without trying again.
type flood struct {
	x       *trial
	client  *http.Client
	mu      sync.Mutex
	answers timeline // of events without a partition
	unknown map[string]bool
	reasons map[autobus.Reason]int
	peak    int64 // bytes of memory the gateway had at most
	next    int   // number of the next event
}

const (
	floodBytes   = 16 << 10 // of an event
	floodClients = 400
	floodRounds  = 10 // before the cut
	floodBuffer  = 64 // MiB, of the gateway; one type may have half of it
)

// cutGateway cuts a gateway off from all brokers for a minute, under a load that is far more than it may keep.
func cutGateway(t *testing.T, s *stand, sc scale, r *row) {
	s.by = func(number int) []string {
		return append(s.net.gateway(number), fmt.Sprintf("AUTOBUS_LIMITS_BUFFER=%dMiB", floodBuffer))
	}
	x := newTrial(t, s, sc)
	f := &flood{x: x, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: floodClients}},
		unknown: map[string]bool{}, reasons: map[autobus.Reason]int{}}
	t.Cleanup(f.client.CloseIdleConnections)
	// The connections, and what so many requests take by themselves, are there before.
	for range floodRounds {
		f.together(t)
	}
	x.none("events were not written before the cut", len(f.answers)-f.answers.count(autobus.Written))
	before := f.peak
	f.answers = nil
	x.begin()
	for broker := 1; broker <= 3; broker++ {
		s.net.drop(broker, gatewayHost)
		s.net.drop(gatewayHost, broker)
	}
	cut := time.Now()
	f.run(t, cut.Add(time.Minute), sc.rate)
	for broker := 1; broker <= 3; broker++ {
		s.net.heal(broker, gatewayHost)
		s.net.heal(gatewayHost, broker)
	}
	healed := time.Now()
	log := s.broker.Open(t)
	bustest.Eventually(t, "everything unknown to be in the log", func(context.Context) bool {
		there := 0
		seen := map[string]bool{}
		for _, rec := range bustest.ReadAll(t, log, s.typ) {
			id := eventID(rec)
			if f.unknown[id] && !seen[id] {
				seen[id] = true
				there++
			}
		}
		return there == len(f.unknown)
	})
	drained := time.Since(healed)
	x.progress("load after the cut", 3)
	_, rep := x.over()

	full := f.fullFrom()
	written := f.answers.count(autobus.Written)
	after := timeline{}
	for _, a := range f.answers {
		if a.status == autobus.Refused && a.sent.After(full) {
			after = append(after, a)
		}
	}
	if len(after) == 0 || len(f.unknown) == 0 {
		t.Fatalf("%d were refused and %d unknown: the buffer did not fill", len(after), len(f.unknown))
	}
	x.none("events were acknowledged during the cut", written)
	p99, grown := after.percentile(99), f.peak-before
	x.within("the 99th percentile of refusals", p99, 50*time.Millisecond)
	if most := int64(floodBuffer) << 20 * 12 / 10; grown > most {
		t.Errorf("the gateway's memory grew by %d MiB, more than %d", grown>>20, most>>20)
	}
	for reason := range f.reasons {
		if reason != autobus.ReasonCapacity {
			t.Errorf("%d events were refused as %s", f.reasons[reason], reason)
		}
	}
	r.came(x, rep, "beside the load %d events of 16 KiB: %d unknown, all in the log %s after the cut; %d refused, none "+
		"in the log, p99 %s; memory grew by %d MiB with a buffer of %d MiB", len(f.answers), len(f.unknown), seconds(drained),
		f.answers.count(autobus.Refused), p99.Round(time.Millisecond), grown>>20, floodBuffer)
}

// run publishes until that time, so many events a second.
func (f *flood) run(t *testing.T, until time.Time, rate int) {
	tokens := make(chan int)
	var all sync.WaitGroup
	for range floodClients {
		all.Go(func() {
			for n := range tokens {
				f.publish(t, n, "2s")
			}
		})
	}
	tick := time.NewTicker(perSecond(rate))
	defer tick.Stop()
	for ; time.Now().Before(until); f.next++ {
		<-tick.C
		select {
		case tokens <- f.next:
		default: // all clients wait
		}
		if f.next%100 == 0 {
			f.peak = max(f.peak, resident(t, f.x.g))
		}
	}
	close(tokens)
	all.Wait()
}

// together has every client publish one event at the same time.
func (f *flood) together(t *testing.T) {
	var all sync.WaitGroup
	for range floodClients {
		n := f.next
		f.next++
		all.Go(func() { f.publish(t, n, "30s") })
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		f.peak = max(f.peak, resident(t, f.x.g))
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// publish sends an event and waits for its outcome for so long.
func (f *flood) publish(t *testing.T, n int, timeout string) {
	id := fmt.Sprintf("flood-%d", n)
	e := autobus.Event{ID: id, Source: "/faults", Type: f.x.typ,
		Data: fmt.Appendf(nil, `{"order":%q,"note":%q}`, id, strings.Repeat("x", floodBytes))}
	attempt, sent := f.x.l.history.Begin(id, e, id), time.Now()
	r, err := post(t.Context(), f.client, f.x.g, "?timeout="+timeout, line(&item{event: e}))
	if err != nil {
		t.Errorf("%s: %v", id, err)
		return
	}
	rc := autobus.Receipt{Partition: r.Partition, Offset: r.Offset, Status: autobus.Unknown}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Status {
	case "written":
		rc.Status = autobus.Written
	case "refused":
		rc.Status = autobus.Refused
		f.reasons[r.Error.Reason]++
	case "unknown":
		f.unknown[id] = true
	}
	attempt.End(rc)
	f.answers = append(f.answers, answered{sent: sent, at: time.Now(), status: rc.Status})
}

// fullFrom is when something was refused for the first time.
func (f *flood) fullFrom() time.Time {
	for _, a := range f.answers {
		if a.status == autobus.Refused {
			return a.at
		}
	}
	return time.Time{}
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// resident is how many bytes of memory a gateway has.
func resident(t *testing.T, g *gateway) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	m := residentLine.FindSubmatch(text)
	if err != nil || m == nil {
		t.Fatalf("the memory of the gateway: %v", err)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
