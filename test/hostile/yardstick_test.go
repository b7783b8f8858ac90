// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// yardsticks tell whose the slowness of honest clients is, where it is measured at all. A Kafka client beside the bus
// and honest clients of another instance, which nobody attacks, share machine and broker with the attacked one, and
// nothing else. And the attacked process says how long its goroutines, and its threads, waited for a processor.
type yardsticks struct {
	kafka     []sample
	mu        sync.Mutex
	bystander *good
	target    *target
}

// newYardsticks begins to measure; nil where timing is not judged.
func newYardsticks(t *testing.T, s *site, attacked *target, name string) *yardsticks {
	t.Helper()
	if os.Getenv("AUTOBUS_TEST_TIMING") == "" {
		return nil
	}
	y := &yardsticks{target: attacked, bystander: newGood(t, s.start(t), name+"-bystander")}
	c, err := kgo.NewClient(kgo.SeedBrokers(s.kafka), kgo.ProducerLinger(0), kgo.DefaultProduceTopic(otherType))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		y.produce(ctx, t, c)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		c.Close()
	})
	return y
}

// produce appends a record at the pace and notes how long that took.
func (y *yardsticks) produce(ctx context.Context, t *testing.T, c *kgo.Client) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		begun := time.Now()
		err := c.ProduceSync(context.WithoutCancel(ctx), &kgo.Record{Key: []byte("direct"), Value: []byte(`{"key":"d"}`)}).
			FirstErr()
		if err != nil {
			t.Errorf("a Kafka client beside the bus: %v", err)
			return
		}
		now := time.Now()
		y.mu.Lock()
		y.kafka = append(y.kafka, sample{now, now.Sub(begun)})
		y.mu.Unlock()
	}
}

// reading is what the attacked process says at a moment.
type reading struct {
	at            time.Time
	waits         []bucket // of goroutines for a processor
	busy, delayed time.Duration
}

// bucket counts the waits up to a bound, in seconds.
type bucket struct{ bound, count float64 }

func (y *yardsticks) read(t *testing.T) (r reading) {
	t.Helper()
	if y == nil {
		return r
	}
	r.at = time.Now()
	a, err := y.target.ask(t.Context(), http.DefaultClient, "good", http.MethodGet, "/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(a.body)) {
		rest, ok := strings.CutPrefix(line, `go_sched_latencies_seconds_bucket{le="`)
		bound, count, _ := strings.Cut(rest, `"} `)
		if !ok {
			continue
		}
		b := bucket{bound: math.Inf(1)}
		if v, err := strconv.ParseFloat(bound, 64); err == nil {
			b.bound = v
		}
		if b.count, err = strconv.ParseFloat(strings.TrimSpace(count), 64); err != nil {
			t.Fatal(err)
		}
		r.waits = append(r.waits, b)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", y.target.pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range threads {
		text, _ := os.ReadFile(file) // a thread may have ended
		if f := strings.Fields(string(text)); len(f) == 3 {
			ran, _ := strconv.ParseInt(f[0], 10, 64)
			waited, _ := strconv.ParseInt(f[1], 10, 64)
			r.busy += time.Duration(ran)
			r.delayed += time.Duration(waited)
		}
	}
	return r
}

// tell logs what lay between two readings.
func (y *yardsticks) tell(t *testing.T, what string, from, to reading) {
	t.Helper()
	if y == nil {
		return
	}
	y.mu.Lock()
	kafka := medianP99(y.kafka, from.at, to.at)
	y.mu.Unlock()
	seconds := to.at.Sub(from.at).Seconds()
	t.Logf("yardsticks, %s: p99 of a Kafka client %s, of another instance %s; goroutines waited p99 %s, "+
		"%.1f threads ran and %.1f waited", what, kafka.Round(100*time.Microsecond), y.bystander.between(from.at, to.at),
		waited99(from.waits, to.waits), (to.busy-from.busy).Seconds()/seconds,
		(to.delayed-from.delayed).Seconds()/seconds)
}

// waited99 is the 99th percentile of the waits between two readings, as the bound of its bucket.
func waited99(from, to []bucket) time.Duration {
	if len(from) != len(to) || len(to) == 0 {
		return 0
	}
	all := to[len(to)-1].count - from[len(from)-1].count
	for i := range to {
		if to[i].count-from[i].count >= all*0.99 {
			return time.Duration(min(to[i].bound, 1e3) * float64(time.Second)).Round(10 * time.Microsecond)
		}
	}
	return 0
}
