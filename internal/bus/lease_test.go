// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
)

func parseLease(text autobus.Lease) (lease, bool) {
	frame, offset, ok := text.Cut()
	if !ok {
		return lease{}, false
	}
	l, ok := parseFrame(frame)
	l.offset = offset
	return l, ok
}

// Workers hold leases while instances are replaced by newer builds: the form stays readable.
func TestLeasesStayReadable(t *testing.T) {
	raw, err := os.ReadFile("testdata/lease.v2.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := lease{nonce: nonce{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, partition: 3, offset: 1 << 40,
		counter: 77, instance: "gateway-1.example"}
	text := autobus.Lease(strings.TrimSpace(string(raw)))
	if got, ok := parseLease(text); !ok || got != want {
		t.Errorf("%+v %t", got, ok)
	}
	if got := want.text(); got != text {
		t.Errorf("it is written as %s", got)
	}
}

func TestALeaseHasOneForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := autobus.Lease(rapid.OneOf(rapid.String(),
			rapid.StringMatching(`Ag[A-Za-z0-9_-]{32,50}\.[0-9]{1,4}`)).Draw(t, "text"))
		if l, ok := parseLease(text); ok && l.text() != text {
			t.Fatalf("%q is read as %+v, which is written as %q", text, l, l.text())
		}
	})
}

func FuzzParseLease(f *testing.F) {
	f.Add("AgECAwQFBgcICQoLDA0ODxAAAAADAAAATWdhdGV3YXktMS5leGFtcGxl.1099511627776")
	f.Add("AgECAwQFBgcICQoLDA0ODxAAAAADAAAATWdhdGV3YXktMS5leGFtcGxl\n.7")
	f.Fuzz(func(t *testing.T, text string) {
		if l, ok := parseLease(autobus.Lease(text)); ok && string(l.text()) != text {
			t.Errorf("%+v", l)
		}
	})
}
