// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/autobus-io/autobus"
)

// TestConnectionsBreak cuts connections at random, before, while and after the gateway does its work, while goroutines
// publish streams. Nothing acknowledged is missing, nothing has two places, each stream has its order, no receipt stays
// away.
func TestConnectionsBreak(t *testing.T) {
	const streams, batches, size = 8, 150, 3
	g := newGateway(t)
	g.script = func(c *link, f *frame) bool {
		if f.Op != "publish" {
			return false
		}
		switch n := rand.N(40); n {
		case 0: // never looked at
			_ = c.socket.CloseNow()
			return true
		case 1: // written in part
			g.write(f.events[:rand.N(len(f.events)+1)])
			_ = c.socket.CloseNow()
			return true
		case 2: // written, not told
			g.write(f.events)
			_ = c.socket.CloseNow()
			return true
		}
		return false
	}
	c := g.client()
	var publishing sync.WaitGroup
	for n := range streams {
		publishing.Go(func() {
			s := &autobus.Stream{}
			var sent []*autobus.Batch
			for i := range batches {
				b := &autobus.Batch{}
				if n%2 == 0 {
					b.Stream = s
				}
				for k := range size {
					b.Events = append(b.Events, event(fmt.Sprintf("%d-%d-%d", n, i, k)))
				}
				publish(t, c, b)
				sent = append(sent, b)
				if i%10 == 9 {
					receipts(t, b)
				}
			}
			for _, b := range sent {
				for i, r := range receipts(t, b, autobus.Written, autobus.Written, autobus.Written) {
					g.mu.Lock()
					if at, ok := g.at[b.Events[i].ID]; !ok || r.Offset != at {
						t.Errorf("the receipt of %s says %d, the log has it at %d, %v", b.Events[i].ID, r.Offset, at, ok)
					}
					g.mu.Unlock()
				}
			}
		})
	}
	publishing.Wait()
	if len(g.log) != streams*batches*size {
		t.Errorf("the log has %d events, want %d", len(g.log), streams*batches*size)
	}
	last := map[string][2]int{}
	for _, e := range g.log {
		n, rest, _ := strings.Cut(e.ID, "-")
		var at [2]int
		if _, err := fmt.Sscanf(rest, "%d-%d", &at[0], &at[1]); err != nil {
			t.Fatal(err)
		}
		if before, ok := last[n]; ok && (at[0] < before[0] || at[0] == before[0] && at[1] <= before[1]) {
			t.Errorf("stream %s has %v after %v", n, at, before)
		}
		last[n] = at
	}
	if g.made < 5 {
		t.Errorf("%d connections: the run shows nothing", g.made)
	}
	t.Logf("%d connections", g.made)
}
