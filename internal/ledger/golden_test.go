// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Commits outlive builds: what an older build wrote must be read for ever. A golden file may be added, never changed.
func TestStoredPositionsStayReadable(t *testing.T) {
	const u, d = untouched, done
	full := bytes.Repeat([]byte{u, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, d}, MaxSpan/16)
	vectors := "\x00\x01 positions per origin \xff"
	for _, g := range []struct {
		name                   string
		base                   int64
		seekEpoch, incarnation uint32
		states                 []byte // one each
		vectors                string
	}{
		{"empty", 0, 0, 1, nil, ""},
		{"empty-high", 1<<62 + 3, 1<<32 - 1, 1<<32 - 1, nil, ""},
		{"mixed", 1_000_000, 3, 42, []byte{u, d, 2, d, d, 14, u, u, 1}, ""},
		{"claimed-base", 1_000_001, 3, 43, []byte{d, 2, d, d}, ""}, // committed before the fetch came by
		{"full", 4095, 1, 2, full, ""},
		{"vectors", 17, 1, 9, []byte{3, d}, vectors},
		{"largest", 4097, 1, 2, full, strings.Repeat("\xa5", maxVectors)},
	} {
		t.Run(g.name, func(t *testing.T) {
			l := New(g.base, g.seekEpoch, g.incarnation)
			l.vectors = []byte(g.vectors)
			for i, state := range g.states {
				l.set(g.base+int64(i), state)
			}
			_, got, _ := l.Encode()
			file := filepath.Join("testdata", g.name+".v1")
			if *update {
				if err := os.WriteFile(file, []byte(got+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			stored := strings.TrimSuffix(string(want), "\n")
			if got != stored {
				t.Errorf("this build writes\n%s\nthe golden file has\n%s", got, stored)
			}
			p, err := Decode(g.base, stored)
			if err != nil || p.Base != g.base || p.SeekEpoch != g.seekEpoch || p.Incarnation != g.incarnation ||
				string(p.vectors) != g.vectors || p.End() != g.base+int64(len(g.states)) {
				t.Fatalf("read back %+v, error %v", p, err)
			}
			back := Resume(p, g.incarnation+1)
			for i, state := range g.states {
				switch s, n := back.See(g.base + int64(i)); {
				case state == done && s != SeenDone, state != done && (s != SeenUndone || n != int(state)):
					t.Errorf("state %d of offset %d was read as %v, %d attempts", state, g.base+int64(i), s, n)
				}
			}
		})
	}
}
