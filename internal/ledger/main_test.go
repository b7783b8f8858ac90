// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// see lets the ledger see undone offsets.
func see(t *testing.T, l *Ledger, offsets ...int64) {
	t.Helper()
	for _, o := range offsets {
		if s, _ := l.See(o); s != SeenUndone {
			t.Fatalf("See(%d) = %v, want SeenUndone", o, s)
		}
	}
}

// stands checks where a ledger is.
func stands(t *testing.T, l *Ledger, base, next int64, undone int) {
	t.Helper()
	if l.Base() != base || l.Next() != next || l.Undone() != undone {
		t.Fatalf("base %d, next %d, %d undone; want base %d, next %d, %d undone",
			l.Base(), l.Next(), l.Undone(), base, next, undone)
	}
	if l.Span() != int(next-base) || l.Room() != MaxSpan-int(next-base) {
		t.Fatalf("span %d, room %d from base %d to next %d", l.Span(), l.Room(), base, next)
	}
}

// reread commits the ledger's position and reads it back.
func reread(t *testing.T, l *Ledger) Position {
	t.Helper()
	base, metadata, _ := l.Encode()
	p, err := Decode(base, metadata)
	if err != nil {
		t.Fatalf("Decode of what Encode wrote: %v", err)
	}
	return p
}

// frame makes metadata of a body, right or wrong, as every version frames it.
func frame(body []byte) string {
	return base64.RawStdEncoding.EncodeToString(binary.BigEndian.AppendUint32(slices.Clip(body), sum(body)))
}
