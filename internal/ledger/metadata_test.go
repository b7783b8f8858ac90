// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// body writes version 1 by the table of the package comment, not by the code.
func body(base int64, seekEpoch, incarnation uint32, count int, states []byte, vectors string) []byte {
	b := []byte{1}
	b = binary.BigEndian.AppendUint64(b, uint64(base))
	b = binary.BigEndian.AppendUint32(b, seekEpoch)
	b = binary.BigEndian.AppendUint32(b, incarnation)
	b = binary.BigEndian.AppendUint16(b, uint16(count))
	b = append(b, states...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(vectors)))
	return append(b, vectors...)
}

func TestMetadataIsWhatTheTableSays(t *testing.T) {
	l := New(0x0102030405, 6, 7)
	l.vectors = []byte("origin")
	b := l.Base()
	see(t, l, b, b+1, b+2, b+3, b+4, b+5, b+6)
	l.Attempt(b, 2)
	l.Done(b + 1)
	l.Attempt(b+3, 14)
	l.Done(b + 4)
	base, got, _ := l.Encode()
	want := frame(body(0x0102030405, 6, 7, 5, []byte{0xf2, 0xe0, 0x0f}, "origin"))
	if base != 0x0102030405 || got != want {
		t.Errorf("at %d\n%s, want\n%s", base, got, want)
	}
	if l.Done(b); l.Base() != b+2 {
		t.Fatalf("base %d", l.Base())
	}
	base, got, _ = l.Encode()
	if want := frame(body(b+2, 6, 7, 3, []byte{0xe0, 0x0f}, "origin")); base != b+2 || got != want {
		t.Errorf("at %d\n%s, want\n%s", base, got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	right := body(5, 1, 2, 3, []byte{0xf0, 0x03}, "v")
	if _, err := Decode(5, frame(right)); err != nil {
		t.Fatal(err)
	}
	change := func(i int, to byte) string {
		b := bytes.Clone(right)
		b[i] = to
		return frame(b)
	}
	full := bytes.Repeat([]byte{0xff}, MaxSpan/2)
	text, newer := frame(right), []byte("\x02 what a newer build knows")
	for _, c := range []struct {
		name, metadata string
		offset         int64
		want           error
	}{
		{"nothing", "", 5, ErrNone},
		{"version 2", change(0, 2), 5, ErrVersion},
		{"version 255, of one byte", frame([]byte{255}), 5, ErrVersion},
		{"version 2 of another offset and shape", frame(newer), 5, ErrVersion},
		{"version 2 with a wrong sum", base64.RawStdEncoding.EncodeToString(newer), 5, ErrDoubt},
		{"version 0", change(0, 0), 5, ErrDoubt},
		{"only a version", frame([]byte{1}), 5, ErrDoubt},
		{"no version", frame(nil), 5, ErrDoubt},
		{"the member id of a client", "consumer-group-1-2f0c9a4e-77a6", 5, ErrDoubt},
		{"letters that are base64", "metadata", 5, ErrDoubt},
		{"a lower offset", text, 6, ErrDoubt},
		{"a higher offset", text, 4, ErrDoubt},
		{"a negative base", frame(body(-5, 1, 2, 0, nil, "")), -5, ErrDoubt},
		{"a base at the end of numbers", frame(body(math.MaxInt64, 1, 2, 0, nil, "")), math.MaxInt64, ErrDoubt},
		{"too many states", frame(body(5, 1, 2, MaxSpan+1, append(full, 0x0f), "")), 5, ErrDoubt},
		{"states that are not there", frame(body(5, 1, 2, MaxSpan, nil, "")), 5, ErrDoubt},
		{"fewer states than bytes", frame(body(5, 1, 2, 1, []byte{0x0f, 0x0f}, "")), 5, ErrDoubt},
		{"a state behind the last", frame(body(5, 1, 2, 3, []byte{0xf0, 0x13}, "")), 5, ErrDoubt},
		{"an untouched last state, odd", frame(body(5, 1, 2, 3, []byte{0xff, 0x00}, "")), 5, ErrDoubt},
		{"an untouched last state, even", frame(body(5, 1, 2, 2, []byte{0x0f}, "")), 5, ErrDoubt},
		{"vectors too long", frame(body(5, 1, 2, 0, nil, strings.Repeat("v", 901))), 5, ErrDoubt},
		{"vectors cut short", frame(right[:len(right)-1]), 5, ErrDoubt},
		{"bytes behind the vectors", frame(append(bytes.Clone(right), 0)), 5, ErrDoubt},
		{"no vectors' length", frame(right[:headerBytes+2]), 5, ErrDoubt},
		{"a header cut short", frame(right[:headerBytes-1]), 5, ErrDoubt},
		{"as long as a commit can be", frame(bytes.Repeat([]byte{2}, MaxMetadata*3/4-4)), 5, ErrVersion},
		{"longer than a commit can be", frame(bytes.Repeat([]byte{2}, MaxMetadata*3/4-3)), 5, ErrDoubt},
		{"much longer", strings.Repeat("A", 1<<20), 5, ErrDoubt},
		{"padding", text + "=", 5, ErrDoubt},
		{"a line end behind", text + "\n", 5, ErrDoubt},
		{"a line end within", text[:8] + "\r\n" + text[8:], 5, ErrDoubt},
		{"a space", text + " ", 5, ErrDoubt},
		{"the alphabet of URLs", "-_" + text[2:], 5, ErrDoubt},
		{"a byte more", text + "A", 5, ErrDoubt},
		{"cut short", text[:len(text)-1], 5, ErrDoubt},
	} {
		p, err := Decode(c.offset, c.metadata)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if !reflect.DeepEqual(p, Position{}) {
			t.Errorf("%s: an error and a position: %+v", c.name, p)
		}
	}
}

// The last character of a text may hold bits beyond the last byte; they have to be zero.
func TestDecodeRefusesSpareBits(t *testing.T) {
	text := frame(body(5, 1, 2, 0, nil, "")) // 25 bytes: the last character has 4 spare bits
	if len(text)%4 != 2 {
		t.Fatalf("the text has %d characters: no spare bits to set", len(text))
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, text[len(text)-1])
	for spare := 1; spare < 16; spare++ {
		if _, err := Decode(5, text[:len(text)-1]+alphabet[last+spare:last+spare+1]); !errors.Is(err, ErrDoubt) {
			t.Errorf("spare bits %04b: %v", spare, err)
		}
	}
}

func TestMetadataFitsIntoACommit(t *testing.T) {
	l := New(math.MaxInt64-2*MaxSpan, math.MaxUint32, math.MaxUint32)
	l.vectors = bytes.Repeat([]byte{0xff}, maxVectors)
	base := l.Base()
	for o := base; o < base+MaxSpan; o++ {
		see(t, l, o)
		l.Attempt(o, MaxAttempts)
	}
	_, metadata, _ := l.Encode()
	if len(metadata) != 3964 || len(metadata) >= MaxMetadata {
		t.Errorf("the longest metadata has %d characters", len(metadata))
	}
	if p := reread(t, l); p.End() != base+MaxSpan {
		t.Errorf("read back up to %d", p.End())
	}
}

// anyLedger is a ledger in any state that events can bring about, claims that were not seen again included.
func anyLedger(t *rapid.T) *Ledger {
	l := New(rapid.Int64Range(0, 1<<40).Draw(t, "base"), rapid.Uint32().Draw(t, "seek"), rapid.Uint32().Draw(t, "inc"))
	l.vectors = rapid.SliceOfN(rapid.Byte(), 0, maxVectors).Draw(t, "vectors")
	for i := range rapid.IntRange(1, 3).Draw(t, "incarnations") {
		if i > 0 {
			base, metadata, _ := l.Encode()
			p, err := Decode(base, metadata)
			if err != nil {
				t.Fatal(err)
			}
			l = Resume(p, l.incarnation+1)
		}
		for range rapid.IntRange(0, 60).Draw(t, "events") {
			o := l.Base() + rapid.Int64Range(0, 80).Draw(t, "offset")
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				l.Done(o)
			case 1:
				l.Attempt(o, rapid.IntRange(1, MaxAttempts).Draw(t, "n"))
			case 2:
				l.See(o)
			case 3:
				l.See(l.Next() + rapid.SampledFrom([]int64{0, 0, 0, 0, 1, 5, 200, 3 * MaxSpan}).Draw(t, "hole"))
			}
		}
	}
	return l
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := anyLedger(t)
		base, metadata, _ := l.Encode()
		p, err := Decode(base, metadata)
		if err != nil {
			t.Fatal(err)
		}
		back := Resume(p, l.incarnation)
		if p.Base != l.base || p.SeekEpoch != l.seekEpoch || p.Incarnation != l.incarnation || back.states != l.states ||
			!bytes.Equal(back.vectors, l.vectors) {
			t.Fatalf("%+v became %+v", l, back)
		}
		if again, text, _ := back.Encode(); again != base || text != metadata {
			t.Fatalf("at %d %s became at %d %s", base, metadata, again, text)
		}
	})
}

// A byte that changed on the way never becomes other states: it is found, each of them, and taken for no newer version.
func TestAMutatedByteIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, metadata, _ := anyLedger(t).Encode()
		at := rapid.IntRange(0, len(metadata)-1).Draw(t, "at")
		text := []byte(metadata)
		for to := range 256 {
			text[at] = byte(to)
			if _, err := Decode(base, string(text)); byte(to) != metadata[at] && !errors.Is(err, ErrDoubt) {
				t.Fatalf("%q for %q at %d of %s: %v", byte(to), metadata[at], at, metadata, err)
			}
		}
		binary, err := base64.RawStdEncoding.DecodeString(metadata)
		if err != nil {
			t.Fatal(err)
		}
		at = rapid.IntRange(0, len(binary)-1).Draw(t, "binary at")
		right := binary[at]
		for to := range 256 {
			binary[at] = byte(to)
			text := base64.RawStdEncoding.EncodeToString(binary)
			if _, err := Decode(base, text); byte(to) != right && !errors.Is(err, ErrDoubt) {
				t.Fatalf("byte %d of %s made %#x: %v", at, metadata, to, err)
			}
		}
	})
}
