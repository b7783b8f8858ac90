// SPDX-License-Identifier: Apache-2.0

package ledger

import "testing"

// Anything may stand in a commit. What is taken has one form only, and a ledger can go on from it. With framed the text
// is a body that gets the right frame, or no fuzzer would come past the checksum.
func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, offset int64, text string, framed bool) {
		if framed {
			text = frame([]byte(text))
		}
		p, err := Decode(offset, text)
		if err != nil {
			return
		}
		l := Resume(p, p.Incarnation)
		if base, again, _ := l.Encode(); base != offset || again != text {
			t.Fatalf("%d %q was taken and is %d %q", offset, text, base, again)
		}
		for o := offset; o < p.End(); o++ {
			switch s, n := l.See(o); {
			case s == NoRoom || s == SeenAgain:
				t.Fatalf("See(%d) = %v after %q", o, s, text)
			case s == SeenUndone && n > MaxAttempts:
				t.Fatalf("%d attempts of %d after %q", n, o, text)
			case s == SeenUndone && !l.Done(o):
				t.Fatalf("Done(%d) was no news after %q", o, text)
			}
		}
		if l.Base() != p.End() || l.Undone() != 0 {
			t.Fatalf("base %d, end %d, %d undone after %q", l.Base(), p.End(), l.Undone(), text)
		}
	})
}
