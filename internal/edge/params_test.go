// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func TestParseFrom(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]autobus.Start{
		"": {}, "latest": {}, "earliest": {Earliest: true}, "-90m": {Time: now.Add(-90 * time.Minute)},
		"2026-01-31T15:04:05Z": {Time: time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)},
	} {
		if got, err := ParseFrom(in, now); err != nil || !got.Time.Equal(want.Time) || got.Earliest != want.Earliest {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
}
