// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// goodRun makes a history without a fault: two streams, five keys, 40 events with every outcome, and its log.
func goodRun() (*History, []kafka.Record) {
	h := NewHistory()
	var log []kafka.Record
	ends := map[int32]int64{}
	write := func(e autobus.Event, key string) (int32, int64) {
		p := murmur2([]byte(key)) & 0x7fffffff % 3
		log = append(log, kafka.Record{TP: kafka.TP{Topic: e.Type, Partition: p}, Offset: ends[p], Key: []byte(key),
			Value: e.Data, Headers: []kafka.Header{{Key: "ce_id", Value: []byte(e.ID)},
				{Key: "autobus-epoch", Value: []byte("2")}}})
		ends[p]++
		return p, ends[p] - 1
	}
	for n := range 40 {
		key := fmt.Sprintf("key-%d", n%5)
		e := autobus.Event{ID: fmt.Sprintf("id-%d", n), Type: "a.b.v1", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
		stream := fmt.Sprint(n % 2)
		a := h.Begin(stream, e, key)
		switch n % 10 {
		case 7: // refused
			a.End(autobus.Receipt{Status: autobus.Refused})
		case 8: // no answer, and it was not written
		case 9: // no answer, but it was written; then once more with an answer
			write(e, key)
			again := h.Begin(stream, e, key)
			p, o := write(e, key)
			again.End(autobus.Receipt{Status: autobus.Written, Partition: p, Offset: o})
		default:
			p, o := write(e, key)
			a.End(autobus.Receipt{Status: autobus.Written, Partition: p, Offset: o})
		}
	}
	return h, log
}

func TestCheckPassesAGoodHistory(t *testing.T) {
	h, log := goodRun()
	h.Control(goodControl())
	h.Ends(map[kafka.TP]int64{log[0].TP: 1})
	h.Ends(map[kafka.TP]int64{log[0].TP: 1})
	h.Read(log)
	// Of a topic that nobody published to nothing is demanded.
	h.Read(append(slices.Clone(log), kafka.Record{TP: kafka.TP{Topic: "c.d.v1"}}))
	r := h.Check()
	if len(r.Faults) > 0 {
		t.Errorf("faults: %v", r.Faults)
	}
	if r.Written != 32 || r.Refused != 4 || r.Unknown != 8 || r.Landed != 4 || r.Copies != 4 || r.Records != 37 {
		t.Errorf("counts: %+v", r)
	}
}

// routeAt is a record of the control log that gives the type another route.
func routeAt(at, prev int64, topic string, epoch int) kafka.Record {
	return kafka.Record{Offset: at, Value: fmt.Appendf(nil, `{"version":1,"kind":"route","name":"a.b.v1","prev":%d,`+
		`"value":{"topic":%q,"partitions":3,"hash":"murmur2","epoch":%d}}`, prev, topic, epoch)}
}

// goodControl is a control log in which a type moved once, and somebody lost who tried to move it back.
func goodControl() []kafka.Record {
	return []kafka.Record{{Offset: 0, Value: []byte(`{"version":1,"kind":"cluster","name":"main","prev":-1,"value":{}}`)},
		routeAt(1, -1, "before", 1), routeAt(2, 1, "a.b.v1", 2), routeAt(3, 1, "before", 1), routeAt(4, 2, "a.b.v1", 2)}
}

// reEpoch makes a record say that it was written by another epoch.
func reEpoch(log []kafka.Record, i int, epoch string) []kafka.Record {
	log[i].Headers = []kafka.Header{log[i].Headers[0], {Key: "autobus-epoch", Value: []byte(epoch)}}
	return log
}

// TestCheckDetectsMutations changes a good history in one place each and demands that the checker names the rule.
func TestCheckDetectsMutations(t *testing.T) {
	renumber := func(log []kafka.Record) []kafka.Record { // as if the broker itself had done it
		next := map[kafka.TP]int64{}
		for i := range log {
			log[i].Offset = next[log[i].TP]
			next[log[i].TP]++
		}
		return log
	}
	// same finds two records of one key and the given partition-mates.
	same := func(log []kafka.Record) (i, j int) {
		for i := range log {
			for j := i + 1; j < len(log); j++ {
				if string(log[i].Key) == string(log[j].Key) {
					return i, j
				}
			}
		}
		panic("no two records of one key")
	}
	id := func(name string) []kafka.Header { return []kafka.Header{{Key: "ce_id", Value: []byte(name)}} }

	for _, m := range []struct {
		name   string
		want   Rule
		mutate func(h *History, log []kafka.Record) []kafka.Record
	}{
		{"drop the first", Lost, func(_ *History, l []kafka.Record) []kafka.Record { return l[1:] }},
		{"drop the last", Lost, func(_ *History, l []kafka.Record) []kafka.Record { return l[:len(l)-1] }},
		{"drop one and close the gap", Lost, func(_ *History, l []kafka.Record) []kafka.Record {
			return renumber(slices.Delete(l, 4, 5))
		}},
		{"swap two of a key", Reordered, func(h *History, l []kafka.Record) []kafka.Record {
			// The receipts tell the swapped places, so that only the order is wrong.
			i, j := same(l)
			l[i].Offset, l[j].Offset = l[j].Offset, l[i].Offset
			for _, a := range h.attempts {
				switch a.id {
				case string(l[i].Headers[0].Value):
					a.offset, a.stream = l[i].Offset, "0"
				case string(l[j].Headers[0].Value):
					a.offset, a.stream = l[j].Offset, "0"
				}
			}
			return l
		}},
		{"swap the records of two offsets", Lost, func(_ *History, l []kafka.Record) []kafka.Record {
			i, j := same(l)
			l[i].Offset, l[j].Offset = l[j].Offset, l[i].Offset
			return l
		}},
		{"duplicate one", Duplicated, func(_ *History, l []kafka.Record) []kafka.Record {
			d := l[0]
			d.Offset = 10_000
			return append(l, d)
		}},
		{"duplicate one with an unknown attempt", Duplicated, func(h *History, l []kafka.Record) []kafka.Record {
			for _, r := range l {
				if string(r.Headers[0].Value) == "id-9" {
					r.Offset = 10_000
					return append(l, r)
				}
			}
			panic("no id-9")
		}},
		{"re-key one", Lost, func(_ *History, l []kafka.Record) []kafka.Record {
			l[3].Key = []byte("another")
			return l
		}},
		{"re-key a copy that nobody acknowledged", Altered, func(_ *History, l []kafka.Record) []kafka.Record {
			for i, r := range l {
				if string(r.Headers[0].Value) == "id-9" {
					l[i].Key = []byte("another")
					return l
				}
			}
			panic("no id-9")
		}},
		{"move a key to another partition", Reordered, func(h *History, l []kafka.Record) []kafka.Record {
			_, j := same(l)
			l[j].TP.Partition, l[j].Offset = 2-l[j].TP.Partition+3, 0
			for _, a := range h.attempts {
				if a.id == string(l[j].Headers[0].Value) {
					a.partition, a.offset = l[j].TP.Partition, l[j].Offset
				}
				a.stream = "0"
			}
			return l
		}},
		{"change a value", Lost, func(_ *History, l []kafka.Record) []kafka.Record {
			l[5].Value = []byte(`{"n":-1}`)
			return l
		}},
		{"a record from nowhere", Phantom, func(_ *History, l []kafka.Record) []kafka.Record {
			return append(l, kafka.Record{TP: l[0].TP, Offset: 10_000, Headers: id("nobody")})
		}},
		{"a record without an id", Phantom, func(_ *History, l []kafka.Record) []kafka.Record {
			return append(l, kafka.Record{TP: l[0].TP, Offset: 10_000})
		}},
		{"a refused event", Phantom, func(_ *History, l []kafka.Record) []kafka.Record {
			return append(l, kafka.Record{TP: l[0].TP, Offset: 10_000, Headers: id("id-7")})
		}},
		{"another reader sees another record", Inconsistent, func(h *History, l []kafka.Record) []kafka.Record {
			h.Read(l)
			other := slices.Clone(l)
			other[2].Headers = id("id-39")
			return other
		}},
		{"an end goes back", Regressed, func(h *History, l []kafka.Record) []kafka.Record {
			h.Ends(map[kafka.TP]int64{l[0].TP: 2})
			h.Ends(map[kafka.TP]int64{l[0].TP: 1})
			return l
		}},
		{"the log ends before it did", Regressed, func(h *History, l []kafka.Record) []kafka.Record {
			h.Ends(map[kafka.TP]int64{l[0].TP: 1000})
			return l
		}},
		{"a write by an older epoch", Regressed, func(_ *History, l []kafka.Record) []kafka.Record {
			_, j := same(l)
			return reEpoch(l, j, "1")
		}},
		{"a write by an epoch that never was", Regressed, func(_ *History, l []kafka.Record) []kafka.Record {
			return reEpoch(l, len(l)-1, "3")
		}},
		{"an epoch that is none", Regressed, func(_ *History, l []kafka.Record) []kafka.Record {
			return reEpoch(l, 0, "two")
		}},
		{"a route goes back to its older epoch", Regressed, func(h *History, l []kafka.Record) []kafka.Record {
			h.Control(append(goodControl(), routeAt(5, 4, "a.b.v1", 1)))
			return l
		}},
		{"a route moves and keeps its epoch", Regressed, func(h *History, l []kafka.Record) []kafka.Record {
			h.Control(append(goodControl(), routeAt(5, 4, "elsewhere", 2)))
			return l
		}},
		{"two receipts tell one place", Inconsistent, func(h *History, l []kafka.Record) []kafka.Record {
			h.attempts[1].partition, h.attempts[1].offset = h.attempts[0].partition, h.attempts[0].offset
			return l
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			h, log := goodRun()
			h.Control(goodControl())
			h.Read(m.mutate(h, slices.Clone(log)))
			faults := h.Check().Faults
			if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Rule == m.want }) {
				t.Errorf("not detected as %s; faults: %v", m.want, faults)
			}
		})
	}
}
