// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"testing"
	"time"
)

// Each bound of the buffer refuses on its own, and only where something is in flight already.
func TestBufferBounds(t *testing.T) {
	a, a1, a2, b := TP{Topic: "a"}, TP{Topic: "a", Partition: 1}, TP{Topic: "a", Partition: 2}, TP{Topic: "b"}
	type take struct {
		tp             TP
		bytes, records int64
	}
	for name, c := range map[string]struct {
		before []take
		then   take
		full   bool
	}{
		"room":                   {[]take{{a, 100, 1}}, take{a, 150, 1}, false},
		"bytes of a partition":   {[]take{{a, 100, 1}}, take{a, 151, 1}, true},
		"bytes of a topic":       {[]take{{a, 10, 1}, {a1, 240, 1}, {a2, 240, 1}}, take{a, 11, 1}, true},
		"another topic":          {[]take{{a, 250, 1}, {a1, 250, 1}, {b, 1, 1}}, take{b, 249, 1}, false},
		"bytes of all":           {[]take{{a, 10, 1}, {b, 985, 1}}, take{a, 6, 1}, true},
		"records of a partition": {[]take{{a, 1, maxRecords/8 - 1}}, take{a, 1, 2}, true},
		"records of a topic":     {[]take{{a, 1, 1}, {a1, 1, maxRecords/4 - 1}}, take{a, 1, 1}, true},
		"records of all":         {[]take{{a, 1, 1}, {b, 1, maxRecords/2 - 1}}, take{a, 1, 1}, true},
		"an empty partition":     {[]take{{b, 5000, maxRecords}}, take{a, 5000, maxRecords}, false},
	} {
		t.Run(name, func(t *testing.T) {
			buf := newBuffer(1000, nil)
			for _, s := range c.before {
				if _, err := buf.reserve(s.tp, s.bytes, s.records, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			before := buf.usage()
			_, err := buf.reserve(c.then.tp, c.then.bytes, c.then.records, time.Now())
			if (err != nil) != c.full {
				t.Errorf("refused: %v", err)
			}
			if after := buf.usage(); c.full && after != before {
				t.Errorf("a refused append changed the account from %+v to %+v", before, after)
			}
		})
	}
}
