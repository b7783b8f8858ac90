// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"fmt"
	"testing"
)

// TestAnOutboxThatIsNeverEmptyKeepsItsSize: under load there is always something to write.
func TestAnOutboxThatIsNeverEmptyKeepsItsSize(t *testing.T) {
	o := newOutbox()
	o.push([]byte("0"))
	for i := range 10_000 {
		o.push(fmt.Append(nil, i+1))
		m, more, ok := o.next()
		if string(m.frame) != fmt.Sprint(i) || !more || !ok {
			t.Fatalf("%s came, want %d", m.frame, i)
		}
		o.taken(len(m.frame))
	}
	if cap(o.queue) > 16 {
		t.Errorf("it has %d places", cap(o.queue))
	}
	o.finish()
	if m, more, ok := o.next(); string(m.frame) != "10000" || more || !ok {
		t.Errorf("%s, %v, %v", m.frame, more, ok)
	}
	if _, _, ok := o.next(); ok || o.bytes != 5 {
		t.Errorf("there is more, of %d bytes", o.bytes)
	}
}
