// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func TestNewIDsAreVersion7AndDifferent(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := autobus.NewID(time.UnixMilli(0x0123456789ab))
		if len(id) != 36 || id[:13] != "01234567-89ab" || id[14] != '7' || id[19] < '8' || id[19] > 'b' || seen[id] {
			t.Fatalf("id %s", id)
		}
		seen[id] = true
	}
}
