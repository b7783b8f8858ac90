// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"slices"
	"testing"
	"time"
)

// Versions are stored beside rows, so their text is for good; and what is newer sorts behind what is older.
func TestVersionsSort(t *testing.T) {
	byValue, byTime := &rowReader{version: 0, rank: 7}, &rowReader{version: -1, rank: 7}
	first := Record{Offset: 12}
	var versions []string
	for _, c := range []struct{ raw, want string }{
		{`-9223372036854775808`, "-0000000000000000000/007/0000000000/0000000000000000012"},
		{`-2`, "-9223372036854775806/007/0000000000/0000000000000000012"},
		{`-1`, "-9223372036854775807/007/0000000000/0000000000000000012"},
		{`0`, "0000000000000000000/007/0000000000/0000000000000000012"},
		{`1e1`, "0000000000000000010/007/0000000000/0000000000000000012"},
		{`9223372036854775807`, "9223372036854775807/007/0000000000/0000000000000000012"},
	} {
		v, bad := byValue.versionOf(&first, [][]byte{[]byte(c.raw)})
		if bad != nil || v != c.want {
			t.Errorf("version %s is %q (%v), want %q", c.raw, v, bad, c.want)
		}
		versions = append(versions, v)
	}
	if !slices.IsSorted(versions) {
		t.Errorf("%q are not in order", versions)
	}

	at := time.Date(2026, 11, 28, 10, 0, 0, 5000, time.FixedZone("", 3600))
	later := Record{Time: at, Offset: 1234567890123456789, Headers: []Header{{Key: "autobus-epoch", Value: []byte("3")}}}
	const want = "2026-11-28T09:00:00.000005000Z/007/0000000003/1234567890123456789"
	if v, bad := byTime.versionOf(&later, nil); bad != nil || v != want {
		t.Errorf("the version by time is %q (%v), want %q", v, bad, want)
	}
	text := [][]byte{[]byte(`"2026-11-28T10:00:00.000005+01:00"`)}
	if v, bad := byValue.versionOf(&later, text); bad != nil || v != want {
		t.Errorf("the version by a time in the data is %q (%v), want %q", v, bad, want)
	}
	for _, raw := range []string{``, `null`, `1.5`, `"soon"`, `true`} {
		if v, bad := byValue.versionOf(&first, [][]byte{[]byte(raw)}); bad == nil {
			t.Errorf("%s makes version %q", raw, v)
		}
	}
}
