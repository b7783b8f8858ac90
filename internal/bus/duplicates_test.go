// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
)

func identified(id, data string) *autobus.Event {
	return &autobus.Event{ID: id, Source: "/s", Type: "t.t.v1", Data: []byte(data)}
}

// table is a table of duplicates with a clock that stands still until it is moved.
func table(limit int, age time.Duration) (*duplicates, *time.Time) {
	now := time.Unix(1000, 0)
	return newDuplicates(limit, age, func() time.Time { return now }), &now
}

var none = hear(func(autobus.Receipt) { panic("no receipt was expected") })

func hear(f func(autobus.Receipt)) joiner {
	return joiner{func(_ int, rc autobus.Receipt) { f(rc) }, 0}
}

var topic = [16]byte{1}

func TestAPendingEventIsJoined(t *testing.T) {
	for name, outcome := range map[string]autobus.Receipt{
		"written": {Status: autobus.Written, Partition: 2, Offset: 9},
		"refused": {Status: autobus.Refused, Err: autobus.NewError(autobus.ReasonCapacity, "")},
		"unknown": {Status: autobus.Unknown, Err: autobus.NewError(autobus.ReasonOutcomeUnknown, "")},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := table(10, time.Minute)
			c, first, err := d.claim("p", topic, identified("1", "x"), &turn{}, none)
			if !first || err != nil {
				t.Fatalf("the first attempt: first %t, error %v", first, err)
			}
			var got []autobus.Receipt
			for range 2 {
				if _, first, err := d.claim("p", topic, identified("1", "x"), &turn{}, hear(func(rc autobus.Receipt) {
					got = append(got, rc)
				})); first || err != nil {
					t.Fatalf("an attempt meanwhile: first %t, error %v", first, err)
				}
			}
			if len(got) != 0 {
				t.Fatal("a receipt came before the outcome")
			}
			d.settle(c, outcome)
			if len(got) != 2 || got[0].Status != outcome.Status || got[0].Offset != outcome.Offset ||
				got[0].Duplicate != (outcome.Status == autobus.Written) {
				t.Errorf("joined receipts %+v", got)
			}
			_, again, _ := d.claim("p", topic, identified("1", "x"), &turn{}, hear(func(autobus.Receipt) {}))
			if again == (outcome.Status == autobus.Written) {
				t.Errorf("afterwards it counts as new: %t", again)
			}
		})
	}
}

func TestAWrittenEventIsRepeated(t *testing.T) {
	d, _ := table(10, time.Minute)
	c, _, _ := d.claim("p", topic, identified("1", "x"), &turn{}, none)
	d.settle(c, autobus.Receipt{Status: autobus.Written, Partition: 3, Offset: 17})
	var got autobus.Receipt
	keep := hear(func(rc autobus.Receipt) { got = rc })
	if _, first, err := d.claim("p", topic, identified("1", "x"), &turn{}, keep); first || err != nil {
		t.Fatalf("first %t, error %v", first, err)
	}
	if !got.Duplicate || got.Partition != 3 || got.Offset != 17 || got.Status != autobus.Written {
		t.Errorf("receipt %+v", got)
	}
}

func TestOtherContentUnderTheSameIDIsAConflict(t *testing.T) {
	d, _ := table(10, time.Minute)
	first := identified("1", "x")
	first.Key = []byte("j")
	if _, _, err := d.claim("p", topic, first, &turn{}, none); err != nil {
		t.Fatal(err)
	}
	other := map[string]*autobus.Event{}
	for _, name := range []string{"data", "type", "key", "no key"} {
		e := *first
		other[name] = &e
	}
	other["data"].Data = []byte("y")
	other["type"].Type = "t.u.v1"
	other["key"].Key = []byte("k")
	other["no key"].Key = nil
	for name, e := range other {
		if _, _, err := d.claim("p", topic, e, &turn{}, none); err == nil || err.Reason != autobus.ReasonIDConflict {
			t.Errorf("other %s: %v", name, err)
		}
	}
	same := identified("1", "x")
	same.Source = "/other"
	if _, first, err := d.claim("p", topic, same, &turn{}, none); !first || err != nil {
		t.Errorf("another source: first %t, error %v", first, err)
	}
	if _, first, err := d.claim("q", topic, identified("1", "x"), &turn{}, none); !first || err != nil {
		t.Errorf("another principal: first %t, error %v", first, err)
	}
	for _, inbox := range []string{"a", "b"} {
		asks := identified("1", "x")
		asks.SetExt(autobus.ExtReplyTo, inbox)
		if _, first, err := d.claim("p", topic, asks, &turn{}, none); !first || err != nil {
			t.Errorf("a request from the inbox %s: first %t, error %v", inbox, first, err)
		}
		if _, again, err := d.claim("p", topic, asks, &turn{}, hear(func(autobus.Receipt) {})); again || err != nil {
			t.Errorf("a request from the inbox %s once more: first %t, error %v", inbox, again, err)
		}
	}
}

func TestTheTableIsBounded(t *testing.T) {
	const limit = 100
	d, now := table(limit, time.Minute)
	pending, _, _ := d.claim("p", topic, identified("pending", "x"), &turn{}, none)
	for i := range 10 * limit {
		c, first, err := d.claim("p", topic, identified(fmt.Sprint(i), "x"), &turn{}, none)
		if !first || err != nil {
			t.Fatalf("event %d: first %t, error %v", i, first, err)
		}
		*now = now.Add(time.Millisecond)
		d.settle(c, autobus.Receipt{Status: autobus.Written, Offset: int64(i)})
		if d.places.used > limit || d.memory.size() > limit || len(d.memory.chunks) > limit/chunkSize+2 {
			t.Fatalf("after %d events the table knows %d ids, its memory %d", i, d.places.used, d.memory.size())
		}
	}
	if st := d.status(); st.IDs != limit || st.Limit != limit || st.Window != "0s" {
		t.Errorf("status %+v", st)
	}
	youngest := identified(fmt.Sprint(10*limit-1), "x")
	if _, first, _ := d.claim("p", topic, youngest, &turn{}, hear(func(autobus.Receipt) {})); first {
		t.Error("the youngest is forgotten")
	}
	d.settle(pending, autobus.Receipt{Status: autobus.Written}) // however long it took, its place is still there
}

// TestTheMemoryForgetsTheOldest lets the table go through many of the chunks of its memory.
func TestTheMemoryForgetsTheOldest(t *testing.T) {
	const limit = chunkSize + chunkSize/2
	d, _ := table(limit, time.Minute)
	known := func(i int) bool {
		var got autobus.Receipt
		e := identified(fmt.Sprint(i), "x")
		c, first, err := d.claim("p", topic, e, &turn{}, hear(func(rc autobus.Receipt) { got = rc }))
		if first {
			d.settle(c, autobus.Receipt{Status: autobus.Refused})
			return false
		}
		if err != nil || !got.Duplicate || got.Offset != int64(i) {
			t.Fatalf("event %d: %+v, error %v", i, got, err)
		}
		return true
	}
	for i := range 5 * limit {
		c, _, _ := d.claim("p", topic, identified(fmt.Sprint(i), "x"), &turn{}, none)
		d.settle(c, autobus.Receipt{Status: autobus.Written, Offset: int64(i)})
		if i%997 == 0 && (!known(i) || !known(max(0, i-limit+1)) || i >= limit && known(i-limit)) {
			t.Fatalf("after %d events: %d, %d, %d known: %t, %t, %t", i+1, i, i-limit+1, i-limit, known(i),
				known(max(0, i-limit+1)), known(i-limit))
		}
	}
	if n := len(d.memory.chunks); n > 3 {
		t.Errorf("%d chunks for %d places", n, limit)
	}
}

// TestPlacesAreAMap holds the table against a map, with claims that begin their search at few slots.
func TestPlacesAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 20
		m := memory{first: 1<<32 - 30, next: 1<<32 - 30}
		m.base = m.first - m.first%chunkSize
		m.chunks = []*[chunkSize]written{new([chunkSize]written)}
		p, want := newPlaces(&m, limit), map[claim]uint64{}
		c := rapid.Custom(func(t *rapid.T) claim {
			return claim{rapid.Uint64Range(0, 3).Draw(t, "home")<<33 | rapid.Uint64Range(0, 9).Draw(t, "rest"), 1}
		})
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if c := c.Draw(t, "claim"); rapid.Bool().Draw(t, "put") && m.size() < limit {
				want[c] = m.add(written{claim: c})
				p.put(c, want[c])
			} else if m.size() > 0 {
				oldest := m.oldest().claim
				if place, known := p.get(oldest); known && place == m.first {
					p.remove(oldest)
					delete(want, oldest)
				}
				m.drop()
			}
			for a := range uint64(4) {
				for b := range uint64(10) {
					c := claim{a<<33 | b, 1}
					place, known := p.get(c)
					if at, there := want[c]; known != there || place != at {
						t.Fatalf("%x is at %d, %t, want %d, %t", c, place, known, at, there)
					}
				}
			}
			if p.used != len(want) {
				t.Fatalf("%d are used, want %d", p.used, len(want))
			}
		}
	})
}

func TestIDsAreForgottenWithTime(t *testing.T) {
	d, now := table(10, time.Minute)
	c, _, _ := d.claim("p", topic, identified("1", "x"), &turn{}, none)
	d.settle(c, autobus.Receipt{Status: autobus.Written})
	if w := d.status().Window; w != "1m0s" {
		t.Errorf("window %s", w)
	}
	*now = now.Add(time.Minute + time.Second)
	if _, first, _ := d.claim("p", topic, identified("1", "x"), &turn{}, none); !first {
		t.Error("still known after its time")
	}
}

func TestWhatWasInADeletedTopicIsForgotten(t *testing.T) {
	d := newDuplicates(2, time.Minute, time.Now)
	c, _, _ := d.claim("p", topic, identified("1", "x"), &turn{}, none)
	d.settle(c, autobus.Receipt{Status: autobus.Written, Offset: 7})
	again, first, err := d.claim("p", [16]byte{2}, identified("1", "x"), &turn{}, none)
	if !first || err != nil {
		t.Fatalf("the topic was made again, the event is not in it: %t %v", first, err)
	}
	// The place of the first copy in the ring goes by, and with it nothing of the second.
	for _, id := range []string{"2", "3"} {
		c, _, _ := d.claim("p", topic, identified(id, "x"), &turn{}, none)
		d.settle(c, autobus.Receipt{Status: autobus.Written})
	}
	d.settle(again, autobus.Receipt{Status: autobus.Written, Offset: 1})
	var got autobus.Receipt
	take := hear(func(rc autobus.Receipt) { got = rc })
	if _, first, _ = d.claim("p", [16]byte{2}, identified("1", "x"), &turn{}, take); first ||
		!got.Duplicate || got.Offset != 1 {
		t.Errorf("%t %+v", first, got)
	}
}

// TestTheTableIsAMap holds the table against a plain one: attempts are taken, joined, written and refused in any order.
// The table is small, so that what takes long is older than all it remembers.
func TestTheTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit, side = 5, 2 // of them at most under way
		d, _ := table(limit, time.Minute)
		type attempt struct {
			c      claimed
			number int // of claims before it
			joined []autobus.Receipt
			want   int
		}
		under := map[string]*attempt{}
		offsets, numbers, claims := map[string]int64{}, map[string]int{}, 0 // of what was written
		for step := range rapid.IntRange(1, 500).Draw(t, "steps") {
			id := rapid.StringMatching("[a-h]").Draw(t, "id")
			a := under[id]
			switch settle := rapid.IntRange(0, 4).Draw(t, "settle") == 0; {
			case settle && a != nil:
				rc := autobus.Receipt{Status: autobus.Refused}
				if rapid.Bool().Draw(t, "written") {
					rc = autobus.Receipt{Status: autobus.Written, Offset: int64(step)}
					offsets[id], numbers[id] = int64(step), a.number
				}
				d.settle(a.c, rc)
				for _, got := range a.joined {
					if got.Status != rc.Status || got.Offset != rc.Offset {
						t.Fatalf("%s: who joined has %+v, the first %+v", id, got, rc)
					}
				}
				if len(a.joined) != a.want {
					t.Fatalf("%s: %d of %d who joined have heard of it", id, len(a.joined), a.want)
				}
				delete(under, id)
			case !settle && a != nil || !settle && len(under) < side:
				var got []autobus.Receipt
				to := &got
				if a != nil {
					to = &a.joined
					a.want++
				}
				c, first, err := d.claim("p", topic, identified(id, "x"), &turn{appended: make(chan struct{})},
					hear(func(rc autobus.Receipt) { *to = append(*to, rc) }))
				switch {
				case err != nil, first && a != nil:
					t.Fatalf("%s: first %t, %v, under way %t", id, first, err, a != nil)
				case first:
					claims++
					under[id] = &attempt{c: c, number: claims}
				case a == nil && (len(got) != 1 || got[0].Offset != offsets[id] || !got[0].Duplicate):
					t.Fatalf("%s: %+v, want the receipt of %d", id, got, offsets[id])
				}
				if n, was := numbers[id]; first && was && claims-1-n+side < limit-1 {
					t.Fatalf("%s is forgotten, after %d more", id, claims-1-n)
				}
			}
		}
	})
}
