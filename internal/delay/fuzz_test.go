// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// FuzzEntry: a record of the log is somebody else's, of a form that must not be guessed at, or an entry that is written
// again as it was read. headers is names and values in turn, separated by newlines.
func FuzzEntry(f *testing.F) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := Entry{ID: "a", Due: now.Add(time.Hour), Since: now, Owner: "sub.shop", Record: kafka.Record{
		Headers: []kafka.Header{{Key: "ce_id", Value: []byte("1")}}}}
	var parts []string
	for _, h := range e.record(now).Headers {
		parts = append(parts, h.Key, string(h.Value))
	}
	f.Add([]byte("k"), strings.Join(parts, "\n"))
	f.Add([]byte(nil), "autobus-delay\n2\nautobus-delay-id\na\nautobus-delay-due\n1")
	f.Add([]byte{}, "autobus-delay\n1\nautobus-delay-due\n-9223372036854775808\nautobus-delay-due\nx")
	f.Fuzz(func(t *testing.T, key []byte, headers string) {
		r := kafka.Record{Key: key, Value: []byte("{}")}
		parts := strings.Split(headers, "\n")
		for i := 0; i+1 < len(parts); i += 2 {
			r.Headers = append(r.Headers, kafka.Header{Key: parts[i], Value: []byte(parts[i+1])})
		}
		e, ours, err := parse(&r)
		if !ours || err != nil {
			return
		}
		written := e.record(now)
		again, ours, err := parse(&written)
		if err != nil || !ours || again.ID != e.ID || !again.Due.Equal(e.Due) || !again.Since.Equal(e.Since) ||
			again.Owner != e.Owner || !bytes.Equal(again.Record.Key, key) ||
			len(again.Record.Headers) != len(e.Record.Headers) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}

// FuzzMarks: what cannot be read of a commit says that nothing beyond it is done; what can is written again as it was.
func FuzzMarks(f *testing.F) {
	m := marks{base: 7, next: 7}
	f.Add(int64(7), m.encode())
	for _, offset := range []int64{8, 70, 200} {
		m.set(offset)
	}
	f.Add(int64(7), m.encode())
	f.Add(int64(0), "d1.00000000.")
	f.Add(int64(-5), "d2.deadbeef.AAAA")
	f.Fuzz(func(t *testing.T, base int64, metadata string) {
		base &= 1<<62 - 1 // an offset
		m, err := decodeMarks(base, metadata)
		if err != nil {
			if m.has(base) || m.next != base {
				t.Errorf("%q says that something is done", metadata)
			}
			return
		}
		again, err := decodeMarks(base, m.encode())
		if err != nil {
			t.Fatal(err)
		}
		for offset := base; offset < base+int64(len(metadata))*8+64; offset++ {
			if again.has(offset) != m.has(offset) {
				t.Errorf("%q: offset %d is %v, then %v", metadata, offset, m.has(offset), again.has(offset))
			}
		}
	})
}
