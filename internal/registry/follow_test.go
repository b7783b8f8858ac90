// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/control"
)

// Every instance follows a push by itself, as a whole, and none waits to be asked: the manifest alone is the swap.
func TestAllInstancesFollow(t *testing.T) {
	l := broker(t)
	pushing := start(t, l)
	const others = 3
	swapped := make(chan string, others)
	for range others {
		r := start(t, l)
		r.control.Watch(control.KindManifest, func(control.Record) {
			if got := names(r.Snapshot()); got != "" { // the registry watched first
				swapped <- got
			}
		})
	}
	began := time.Now()
	push(t, pushing, bundleOf("order", "book"))
	for range others {
		select {
		case got := <-swapped:
			if got != names(pushing.Snapshot()) {
				t.Errorf("another instance has %s", got)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("not all instances follow")
		}
	}
	t.Logf("%d instances followed %s after the push began", others, time.Since(began).Round(time.Millisecond))
}
