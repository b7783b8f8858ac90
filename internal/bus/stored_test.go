// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"testing"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// committed is a commit as the bus writes it: base is done, and so is the offset two above it.
func committed(base int64, epoch, incarnation uint32) kafka.Commit {
	l := ledger.New(base, epoch, incarnation)
	for o := base; o < base+3; o++ {
		l.See(o)
	}
	l.Done(base + 2)
	at, metadata, _ := l.Encode()
	return kafka.Commit{Offset: at, Metadata: metadata}
}

func TestWhereASubscriptionStands(t *testing.T) {
	f := open(t)
	tp := kafka.TP{Topic: orders, Partition: 1}
	none := kafka.Commit{Offset: -1}
	log := kafka.Bounds{First: 5, End: 100}
	copied := func(offset int64, epoch, incarnation uint32) *control.Position {
		return &control.Position{Offset: offset, SeekEpoch: epoch, Incarnation: incarnation}
	}
	remade := committed(40, 3, 7)
	remade.TopicID = [16]byte{2}
	for name, c := range map[string]struct {
		commit      kafka.Commit
		copied      *control.Position
		raw         string // in place of copied
		positions   map[int32]int64
		log         kafka.Bounds
		base        int64
		incarnation uint32
		verdict     string
	}{
		"record only":              {commit: none, base: 20},
		"commit ahead":             {commit: committed(40, 3, 7), base: 40, incarnation: 7},
		"commit behind the record": {commit: committed(10, 3, 7), base: 20, incarnation: 7},
		"commit of another epoch":  {commit: committed(40, 2, 7), base: 20, incarnation: 7},
		"garbage":                  {commit: kafka.Commit{Offset: 40, Metadata: "x"}, base: 20, verdict: "doubt"},
		"no metadata":              {commit: kafka.Commit{Offset: 40}, base: 20, verdict: "doubt"},
		"commit beyond the log":    {commit: committed(98, 3, 7), base: 20, verdict: "doubt", incarnation: 7},
		"copy ahead of the commit": {commit: committed(40, 3, 7), copied: copied(50, 3, 8), base: 50, incarnation: 8},
		"copy behind the commit":   {commit: committed(40, 3, 7), copied: copied(30, 3, 9), base: 40, incarnation: 9},
		"copy of another epoch":    {commit: committed(40, 3, 7), copied: copied(50, 2, 9), base: 40, incarnation: 9},
		"copy without a commit":    {commit: none, copied: copied(50, 3, 9), base: 50, incarnation: 9},
		"copy of a newer build": {commit: committed(40, 3, 7), raw: `{"version":2}`, base: 40, incarnation: 7,
			verdict: "newer"},
		"a topic that came later":    {commit: none, positions: map[int32]int64{}, base: 5},
		"read from before the start": {commit: none, positions: map[int32]int64{1: 2}, base: 2, verdict: "lost"},
		"stands beyond the end":      {commit: none, log: kafka.Bounds{First: 0, End: 9}, base: 20, verdict: "lost"},
		"committed in another topic": {commit: remade, base: 40, incarnation: 7, verdict: "lost"},
		"the whole log was deleted": {commit: committed(40, 3, 7), log: kafka.Bounds{First: 100, End: 100}, base: 40,
			incarnation: 7, verdict: "lost"},
		"everything done, log at end": {commit: none, positions: map[int32]int64{1: 100}, base: 100},
	} {
		t.Run(name, func(t *testing.T) {
			if c.log == (kafka.Bounds{}) {
				c.log = log
			}
			if c.positions == nil {
				c.positions = map[int32]int64{1: 20}
			}
			var err error
			switch {
			case c.raw != "":
				err = f.state.Put(t.Context(), control.PositionKey("shop", orders, 1), []byte(c.raw))
			case c.copied != nil:
				err = f.state.PutPosition(t.Context(), "shop", orders, 1, *c.copied)
			default:
				err = f.state.Put(t.Context(), control.PositionKey("shop", orders, 1), nil)
			}
			if err == nil {
				err = f.state.Barrier(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			v := control.Subscription{Positions: map[string]map[int32]int64{orders: c.positions}, SeekEpoch: 3,
				TopicIDs: map[string]string{orders: "01000000000000000000000000000000"}}
			base, incarnation, verdict := f.Stored("shop", v, tp, c.commit, c.log)
			if base != c.base || incarnation != c.incarnation || verdict != c.verdict {
				t.Errorf("it stands at %d, incarnation %d, %q; want %d, %d, %q", base, incarnation, verdict, c.base,
					c.incarnation, c.verdict)
			}
		})
	}
}
