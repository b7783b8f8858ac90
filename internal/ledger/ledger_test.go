// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"unsafe"

	"github.com/autobus-io/autobus"
)

func TestBaseFollowsWhatIsDone(t *testing.T) {
	l := New(10, 0, 1)
	see(t, l, 10, 11, 12, 13)
	stands(t, l, 10, 14, 4)
	for _, step := range []struct {
		done, base int64
		undone     int
	}{{12, 10, 3}, {11, 10, 2}, {10, 13, 1}, {13, 14, 0}} {
		if !l.Done(step.done) {
			t.Errorf("Done(%d) was no news", step.done)
		}
		if l.Done(step.done) {
			t.Errorf("Done(%d) was news twice", step.done)
		}
		stands(t, l, step.base, 14, step.undone)
	}
}

func TestOnlySeenOffsetsCanBeDone(t *testing.T) {
	l := New(10, 0, 1)
	see(t, l, 10)
	for _, o := range []int64{9, 11, 10 + MaxSpan, -1} {
		if l.Done(o) {
			t.Errorf("Done(%d) was news", o)
		}
		l.Attempt(o, 3)
		if got := l.Attempts(o); got != 0 {
			t.Errorf("%d attempts of %d, which was not seen", got, o)
		}
	}
	stands(t, l, 10, 11, 1)
	see(t, l, 11, 12)
	for o, want := range map[int64]bool{9: true, 10: false, 11: false, 13: false} {
		if got := l.IsDone(o); got != want {
			t.Errorf("IsDone(%d) = %v", o, got)
		}
	}
}

func TestAttemptsNeverFall(t *testing.T) {
	l := New(0, 0, 1)
	see(t, l, 0, 1, 2)
	for _, step := range []struct{ n, want int }{{0, 0}, {-1, 0}, {2, 2}, {1, 2}, {14, 14}, {15, 14}, {1 << 20, 14}} {
		l.Attempt(1, step.n)
		if got := l.Attempts(1); got != step.want {
			t.Errorf("after Attempt(1, %d): %d attempts, want %d", step.n, got, step.want)
		}
	}
	if l.Attempts(0) != 0 || l.Attempts(2) != 0 || l.IsDone(1) {
		t.Error("the attempts of an offset changed others, or made it done")
	}
	l.Done(1)
	l.Attempt(1, 3)
	if l.Attempts(1) != 0 || !l.IsDone(1) {
		t.Error("an attempt after Done counted")
	}
	if autobus.MaxAttempts > MaxAttempts {
		t.Errorf("a policy may ask for %d attempts, the ledger counts %d", autobus.MaxAttempts, MaxAttempts)
	}
}

func TestARepeatIsHarmless(t *testing.T) {
	l := New(10, 0, 1)
	see(t, l, 10, 11, 12)
	l.Attempt(11, 2)
	l.Done(10)
	_, before, seq := l.Encode()
	for _, o := range []int64{-1, 0, 9, 10, 11, 12} {
		if s, n := l.See(o); s != SeenAgain || n != 0 {
			t.Errorf("See(%d) again = %v, %d", o, s, n)
		}
	}
	if _, after, now := l.Encode(); after != before || now != seq {
		t.Error("a repeat changed the ledger")
	}
}

func TestHolesAreDone(t *testing.T) {
	l := New(10, 0, 1)
	see(t, l, 12) // nothing is undone before it: the base goes along
	stands(t, l, 12, 13, 1)
	see(t, l, 15)
	stands(t, l, 12, 16, 2)
	if !l.IsDone(13) || !l.IsDone(14) || l.IsDone(15) {
		t.Error("a hole is done, and only it")
	}
	l.Done(12)
	stands(t, l, 15, 16, 1)
	l.Done(15)
	see(t, l, 1<<40) // as large as it may be
	stands(t, l, 1<<40, 1<<40+1, 1)
}

func TestALedgerWithoutRoomMakesTheFetchWait(t *testing.T) {
	l := New(0, 0, 1)
	for o := range int64(MaxSpan) {
		see(t, l, o)
	}
	stands(t, l, 0, MaxSpan, MaxSpan)
	for range 2 {
		if s, _ := l.See(MaxSpan); s != NoRoom {
			t.Fatalf("See beyond the span = %v", s)
		}
		stands(t, l, 0, MaxSpan, MaxSpan)
	}
	l.Done(MaxSpan - 1)
	if s, _ := l.See(MaxSpan); s != NoRoom {
		t.Fatalf("See = %v with the oldest undone", s)
	}
	l.Done(0)
	see(t, l, MaxSpan)
	stands(t, l, 1, MaxSpan+1, MaxSpan-1)
	if l.IsDone(MaxSpan) || l.Attempts(MaxSpan) != 0 {
		t.Error("an offset inherited the state of the one whose place it took")
	}
}

func TestAHoleWiderThanTheSpanWaitsForTheUndoneBeforeIt(t *testing.T) {
	const far = 5 * MaxSpan
	l := New(0, 0, 1)
	see(t, l, 0, 1)
	l.Attempt(1, 7)
	if s, _ := l.See(far); s != NoRoom {
		t.Fatalf("See(%d) = %v with 0 undone", far, s)
	}
	stands(t, l, 0, MaxSpan, 2) // full, so that whoever watches the span makes room
	l.Done(0)
	if s, _ := l.See(far); s != NoRoom {
		t.Fatalf("See(%d) = %v with 1 undone", far, s)
	}
	stands(t, l, 1, MaxSpan+1, 1)
	if got := l.Attempts(1); got != 7 {
		t.Errorf("%d attempts of 1, want 7", got)
	}
	l.Done(1)
	stands(t, l, MaxSpan+1, MaxSpan+1, 0)
	see(t, l, far)
	stands(t, l, far, far+1, 1)
}

func TestResumeKeepsWhatWasDone(t *testing.T) {
	old := New(100, 7, 1)
	see(t, old, 100, 101, 102, 103, 106)
	old.Done(101)
	old.Done(103)
	old.Attempt(102, 3)
	p := reread(t, old)
	if p.Base != 100 || p.SeekEpoch != 7 || p.Incarnation != 1 || p.End() != 106 {
		t.Fatalf("read back %+v", p)
	}
	l := Resume(p, 2)
	stands(t, l, 100, 100, 0)
	if l.IsDone(101) || l.Attempts(102) != 0 {
		t.Error("a claim counted before its offset was seen")
	}
	if q := reread(t, l); q.SeekEpoch != 7 || q.Incarnation != 2 || q.End() != 106 {
		t.Errorf("committed anew before the fetch: %+v", q)
	}
	for _, step := range []struct {
		offset   int64
		want     Sight
		attempts int
		base     int64
	}{{100, SeenUndone, 0, 100}, {101, SeenDone, 0, 100}, {102, SeenUndone, 3, 100}, {103, SeenDone, 0, 100},
		{106, SeenUndone, 0, 100}, {107, SeenUndone, 0, 100}} {
		if s, n := l.See(step.offset); s != step.want || n != step.attempts {
			t.Errorf("See(%d) = %v, %d; want %v, %d", step.offset, s, n, step.want, step.attempts)
		}
		if l.Base() != step.base {
			t.Errorf("base %d after See(%d)", l.Base(), step.offset)
		}
	}
	l.Done(100)
	stands(t, l, 102, 108, 3)
	if got := l.Attempts(102); got != 3 {
		t.Errorf("%d attempts of 102, want 3", got)
	}
	l.Done(102)
	stands(t, l, 106, 108, 2)
}

// A claim must not carry the base over an offset that nobody met in this incarnation.
func TestTheBaseWaitsForTheFetch(t *testing.T) {
	old := New(0, 0, 1)
	for o := range int64(MaxSpan) {
		see(t, old, o)
	}
	for o := range int64(MaxSpan - 1) {
		old.Done(o + 1)
	}
	l := Resume(reread(t, old), 2)
	see(t, l, 0)
	l.Done(0)
	stands(t, l, 1, 1, 0)

	p := reread(t, l) // base 1 is claimed done: such a position is sound
	l = Resume(p, 3)
	stands(t, l, 1, 1, 0)
	for o := int64(1); o < MaxSpan; o++ {
		if s, _ := l.See(o); s != SeenDone || l.Base() != o+1 {
			t.Fatalf("See(%d) = %v, base %d", o, s, l.Base())
		}
	}
	see(t, l, MaxSpan)
	stands(t, l, MaxSpan, MaxSpan+1, 1)
}

// Claims of offsets that do not exist any more must not be taken for others, which have the same place in the ring.
func TestClaimsInAHoleAreForgotten(t *testing.T) {
	for _, far := range []int64{MaxSpan / 2, MaxSpan - 1, MaxSpan, MaxSpan + 5, 7*MaxSpan + 5} {
		old := New(0, 0, 1)
		for o := range int64(MaxSpan) {
			see(t, old, o)
		}
		for o := int64(1); o < MaxSpan; o++ {
			old.Done(o)
		}
		l := Resume(reread(t, old), 2)
		if s, _ := l.See(far); (s == SeenDone) != (far < MaxSpan) {
			t.Fatalf("See(%d) = %v", far, s)
		}
		for o := far + 1; o < far+MaxSpan; o++ {
			if s, _ := l.See(o); (s == SeenDone) != (o < MaxSpan) {
				t.Fatalf("after a hole up to %d: See(%d) = %v", far, o, s)
			}
		}
	}
}

// Where the copy of a base is further on than the commit, the caller raises Base: each claim stays at its offset.
func TestAMovedBaseShiftsNoClaim(t *testing.T) {
	old := New(100, 0, 1)
	see(t, old, 100, 101, 102, 103, 104)
	old.Done(101)
	old.Done(103)
	old.Attempt(104, 5)
	for _, base := range []int64{99 - MaxSpan, 102 - MaxSpan, 104 - MaxSpan, 105 - MaxSpan, 99, 101, 102, 104, 105, 106} {
		p := reread(t, old)
		p.Base = base
		if want := max(base, 105); p.End() != want {
			t.Errorf("base %d: end %d, want %d", base, p.End(), want)
		}
		want := 0
		for _, o := range []int64{101, 103} {
			if o >= base {
				want++
			}
		}
		if got := p.DoneAbove(); got != want {
			t.Errorf("base %d: %d done above it, want %d", base, got, want)
		}
		l := Resume(p, 2)
		for o := base; o < base+MaxSpan; o++ {
			s, n := l.See(o)
			if want := o == 101 || o == 103; (s == SeenDone) != want || s == NoRoom {
				t.Errorf("base %d: See(%d) = %v", base, o, s)
			}
			if want := o == 104; (n == 5) != want || (n != 0) != want {
				t.Errorf("base %d: %d attempts of %d", base, n, o)
			}
		}
	}
}

func TestDirtyUntilSaved(t *testing.T) {
	l := New(0, 0, 1)
	save := func() uint64 { _, _, seq := l.Encode(); return seq }
	if !l.Dirty() {
		t.Error("a new ledger is clean, but its incarnation is not saved")
	}
	l.Saved(save())
	for _, step := range []struct {
		name  string
		do    func()
		dirty bool
	}{
		{"see", func() { see(t, l, 0, 1, 2) }, false},
		{"attempt", func() { l.Attempt(1, 2) }, true},
		{"the same attempt", func() { l.Attempt(1, 2) }, false},
		{"a lower attempt", func() { l.Attempt(1, 1) }, false},
		{"done", func() { l.Done(1) }, true},
		{"done again", func() { l.Done(1) }, false},
		{"a hole", func() { see(t, l, 5) }, true},
		{"done at the base", func() { l.Done(0) }, true},
		{"the rest", func() { l.Done(2); l.Done(5) }, true},
		{"a hole with nothing undone", func() { see(t, l, 10) }, true},
	} {
		before := l.Seq()
		step.do()
		if l.Dirty() != step.dirty || (l.Seq() > before) != step.dirty {
			t.Errorf("%s: dirty %v, change %d after %d; want dirty %v", step.name, l.Dirty(), l.Seq(), before, step.dirty)
		}
		l.Saved(save())
		if l.Dirty() {
			t.Errorf("%s: dirty after Saved", step.name)
		}
	}

	first := save()
	l.Attempt(10, 1)
	second := save()
	l.Attempt(10, 2)
	l.Saved(second)
	if !l.Dirty() {
		t.Error("a change after Encode was taken for saved")
	}
	third := save()
	l.Saved(third)
	l.Saved(first) // late
	if l.Dirty() {
		t.Error("a late confirmation undid a newer one")
	}
	l.Attempt(10, 3)
	l.Saved(third + 2) // of another ledger
	l.Attempt(10, 4)
	if !l.Dirty() {
		t.Error("the confirmation of what was never encoded counted")
	}
}

func TestALedgerIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Ledger{}); size > MaxSpan/2+128 {
		t.Errorf("a ledger takes %d bytes", size)
	}
	l := New(0, 0, 1)
	next := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		l.See(next)
		l.Attempt(next, 2)
		l.Done(next)
		next++
	}); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
}

// Half of the span stays undone, and the later half is done before the earlier.
func BenchmarkSeeDone(b *testing.B) {
	l := New(0, 0, 1)
	next := int64(0)
	for b.Loop() {
		l.See(next)
		if next%2 == 1 && next > MaxSpan/2 {
			l.Done(next - MaxSpan/2)
			l.Done(next - MaxSpan/2 - 1)
		}
		next++
	}
	if l.Undone() > MaxSpan/2+2 {
		b.Fatalf("%d undone", l.Undone())
	}
}
