// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// What is stored of a cancellation, and what its schedule's id looks like, outlives builds.
func TestCancellationsStayReadable(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 123_000_000, time.UTC)
	raw, err := json.Marshal(cancellation{Version: 1, By: "shop", At: at, Due: at.Add(time.Hour)})
	const want = `{"version":1,"by":"shop","at":"2026-11-28T12:00:00.123Z","due":"2026-11-28T13:00:00.123Z"}`
	if err != nil || string(raw) != want {
		t.Errorf("a cancellation is %s, %v, not %s", raw, err, want)
	}
	e := autobus.Event{ID: "e-1", Source: "/shop", Type: "orders.order.placed.v1"}
	text := newScheduleID("c-1", "shop", &e, at)
	const wantID = "orders.order.placed.v1~AaIiBsp7n2Dd1BvLTsJrKYMFMRm-vLU"
	if text != wantID {
		t.Errorf("the id is %s, not %s", text, wantID)
	}
	id, ok := parseScheduleID("c-1", text)
	if !ok || !id.due.Equal(at) || id.typ != e.Type || !id.of("shop") || id.of("other") {
		t.Errorf("the id is read as %+v, %t", id, ok)
	}
	if _, ok := parseScheduleID("c-2", text); ok {
		t.Error("an id of another cluster is one")
	}
	for i := len(e.Type); i < len(text); i++ {
		bad := []byte(text)
		if bad[i] ^= 1; string(bad) == text {
			continue
		}
		if _, ok := parseScheduleID("c-1", string(bad)); ok {
			t.Errorf("with another character at %d it is one: %s", i, bad)
		}
	}
}
