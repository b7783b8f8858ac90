// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// later makes a history of scheduled events, and its log: they were released in another order than they were sent, and
// one of them twice, because an instance died over it.
func later() (*History, []kafka.Record) {
	h := NewHistory()
	h.Hops = 1
	var log []kafka.Record
	for n := range 4 {
		e := autobus.Event{ID: fmt.Sprint("later-", n), Type: "a.b.v1", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
		due := time.Date(2026, 1, 31, 12, 0, 10-n, 0, time.UTC)
		e.SetExt(autobus.ExtDeliverAt, due.Format(time.RFC3339))
		h.Begin("s", e, "k").End(autobus.Receipt{Status: autobus.Written})
		r := kafka.Record{TP: kafka.TP{Topic: e.Type}, Time: due, Key: []byte("k"), Value: e.Data,
			Headers: []kafka.Header{{Key: "ce_id", Value: []byte(e.ID)}}}
		log = append([]kafka.Record{r}, log...)
		if n == 2 {
			log = append([]kafka.Record{r}, log...)
		}
	}
	for i := range log {
		log[i].Offset = int64(i)
	}
	return h, log
}

func TestCheckJudgesScheduledEvents(t *testing.T) {
	h, log := later()
	h.Read(log)
	if r := h.Check(); len(r.Faults) > 0 || r.Written != 4 || r.Copies != 1 || r.Hops != 1 {
		t.Errorf("%+v", r)
	}
	for _, m := range []struct {
		name   string
		want   Rule
		mutate func(h *History, log []kafka.Record) []kafka.Record
	}{
		{"drop one", Lost, func(_ *History, l []kafka.Record) []kafka.Record { return l[:len(l)-1] }},
		{"a millisecond early", Early, func(_ *History, l []kafka.Record) []kafka.Record {
			l[3].Time = l[3].Time.Add(-time.Millisecond)
			return l
		}},
		{"one more copy", Duplicated, func(_ *History, l []kafka.Record) []kafka.Record {
			more := l[3]
			more.Offset = 10
			return append(l, more)
		}},
		{"a copy that nothing explains", Duplicated, func(h *History, l []kafka.Record) []kafka.Record {
			h.Hops = 0
			return l
		}},
		{"other bytes", Altered, func(_ *History, l []kafka.Record) []kafka.Record {
			l[3].Value = []byte("{}")
			return l
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			h, log := later()
			h.Read(m.mutate(h, log))
			if faults := h.Check().Faults; !slices.ContainsFunc(faults, func(f Fault) bool { return f.Rule == m.want }) {
				t.Errorf("not detected as %s; faults: %v", m.want, faults)
			}
		})
	}
}
