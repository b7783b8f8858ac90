// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// good is what honest clients do all the time: publish single events, and work on a subscription. Every answer has to
// come, whatever else happens.
type good struct {
	*target
	client *http.Client
	name   string // of the subscription, and the source of the events
	stop   func() // the publishing, and returns when all answers are there
	leave  func() // the subscription

	mu        sync.Mutex
	sent      int
	publishes []sample
	delivered map[string]bool // ids
	delivery  []sample
}

// sample is how long something took that ended at a time.
type sample struct {
	at   time.Time
	took time.Duration
}

const (
	publishers = 4
	pace       = 20 * time.Millisecond // of each
)

// newGood makes the subscription and begins. finish accounts for all events.
func newGood(t *testing.T, s *target, name string) *good {
	t.Helper()
	g := &good{target: s, name: name, delivered: map[string]bool{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publishers + 2}}}
	a, err := s.ask(t.Context(), g.client, "good", http.MethodPut, "/v1/subscriptions/"+name, "application/json",
		strings.NewReader(`{"types":["`+typ+`"],"filter":"source == '/`+name+`'"}`))
	if err != nil || a.status != http.StatusCreated {
		t.Fatal(err, string(a.body))
	}
	publishing, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var publish, consume sync.WaitGroup
	for n := range publishers {
		publish.Go(func() { g.publish(publishing, t, n) })
	}
	consume.Go(func() { g.consume(ctx, t) })
	g.stop = func() {
		stop()
		publish.Wait()
	}
	g.leave = func() {
		cancel()
		consume.Wait()
		g.client.CloseIdleConnections()
	}
	t.Cleanup(func() {
		g.stop()
		g.leave()
	})
	return g
}

// await waits until so many more events were delivered.
func (g *good) await(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.delivered)
	}
	from := count()
	bustest.Eventually(t, "the honest clients", func(context.Context) bool { return count() >= from+n })
}

// finish ends the publishing and waits for every event that was acknowledged.
func (g *good) finish(t *testing.T) {
	t.Helper()
	g.stop()
	bustest.Eventually(t, "every event of the honest clients", func(context.Context) bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.delivered) == g.sent
	})
	g.leave()
}

// publish sends an event at the pace, and notes how long the answer took.
func (g *good) publish(ctx context.Context, t *testing.T, n int) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		begun := time.Now()
		event := fmt.Sprintf(`{"specversion":"1.0","id":"%d-%d","source":"/%s","type":"%s","data":{"key":"k%d","at":%d}}`,
			n, i, g.name, typ, n, begun.UnixNano())
		a, err := g.ask(context.WithoutCancel(ctx), g.client, "good", http.MethodPost, "/v1/events",
			"application/cloudevents+json", strings.NewReader(event))
		if err != nil || a.status != http.StatusOK {
			t.Errorf("an honest event was answered by %d %s: %v", a.status, a.body, err)
			return
		}
		now := time.Now()
		g.mu.Lock()
		g.sent++
		g.publishes = append(g.publishes, sample{now, now.Sub(begun)})
		g.mu.Unlock()
	}
}

// consume reads the stream of the subscription and acks what comes.
func (g *good) consume(ctx context.Context, t *testing.T) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/v1/subscriptions/"+g.name+"/stream", nil)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+g.token["good"])
	resp, err := g.client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	for in := bufio.NewReader(resp.Body); ; {
		line, err := in.ReadBytes('\n')
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.Errorf("the honest stream ended: %v", err)
			return
		}
		g.deliver(ctx, t, line)
	}
}

// deliver acks the deliveries of a line.
func (g *good) deliver(ctx context.Context, t *testing.T, line []byte) {
	var frame struct {
		Op         string `json:"op"`
		Deliveries []struct {
			Lease autobus.Lease   `json:"lease"`
			Event json.RawMessage `json:"event"`
		} `json:"deliveries"`
	}
	if err := json.Unmarshal(line, &frame); err != nil || frame.Op == "error" {
		t.Errorf("the honest stream brought %s", line)
	}
	if len(frame.Deliveries) == 0 {
		return
	}
	now := time.Now()
	var acks []string
	g.mu.Lock()
	for _, d := range frame.Deliveries {
		e, bad := autobus.ParseEvent(d.Event)
		var data struct {
			At int64 `json:"at"`
		}
		if err := json.Unmarshal(e.Data, &data); bad != nil || err != nil {
			t.Errorf("an honest event came as %s", d.Event)
		}
		g.delivered[e.ID] = true
		g.delivery = append(g.delivery, sample{now, now.Sub(time.Unix(0, data.At))})
		acks = append(acks, fmt.Sprintf(`{"lease":%q,"outcome":"ack"}`, d.Lease))
	}
	g.mu.Unlock()
	a, err := g.ask(ctx, g.client, "good", http.MethodPost, "/v1/subscriptions/"+g.name+"/acks", "application/json",
		strings.NewReader(`{"results":[`+strings.Join(acks, ",")+`]}`))
	if ctx.Err() == nil && (err != nil || a.status != http.StatusOK) {
		t.Errorf("honest acks were answered by %d %s: %v", a.status, a.body, err)
	}
}

// figure is the medians of the 99th percentiles of half seconds.
type figure struct{ publish, delivery time.Duration }

func (f figure) String() string {
	return fmt.Sprintf("%s to publish, %s to delivery", f.publish.Round(100*time.Microsecond),
		f.delivery.Round(100*time.Microsecond))
}

// between gives the figures of a time.
func (g *good) between(from, to time.Time) figure {
	g.mu.Lock()
	defer g.mu.Unlock()
	return figure{medianP99(g.publishes, from, to), medianP99(g.delivery, from, to)}
}

// medianP99 is the median over half seconds of their 99th percentiles, so that a pause of a busy machine decides
// nothing.
func medianP99(samples []sample, from, to time.Time) time.Duration {
	halves := map[int64][]time.Duration{}
	for _, s := range samples {
		if s.at.After(from) && s.at.Before(to) {
			at := s.at.UnixMilli() / 500
			halves[at] = append(halves[at], s.took)
		}
	}
	var all []time.Duration
	for _, h := range halves {
		slices.Sort(h)
		all = append(all, h[len(h)*99/100])
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
