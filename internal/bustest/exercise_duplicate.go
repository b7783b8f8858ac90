// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"fmt"
	"testing"

	"github.com/autobus-io/autobus"
)

// duplicate checks what happens to an id that comes again.
func (s *suite) duplicate(t *testing.T) {
	t.Run("WrittenIsRepeated", func(t *testing.T) {
		e := s.event(s.types.Keyed, s.unique("key"))
		first := s.publish(t, e)
		written(t, first)
		again := s.publish(t, e)
		written(t, again)
		if !again[0].Duplicate || first[0].Duplicate {
			t.Errorf("duplicate: first %v, again %v", first[0].Duplicate, again[0].Duplicate)
		}
		if again[0].Partition != first[0].Partition || again[0].Offset != first[0].Offset {
			t.Errorf("the second receipt tells %d/%d, the first %d/%d", again[0].Partition, again[0].Offset,
				first[0].Partition, first[0].Offset)
		}
		s.one(t, e, first[0])
	})

	t.Run("PendingIsJoined", func(t *testing.T) {
		const attempts = 8
		e := s.event(s.types.Keyed, s.unique("key"))
		ctx, cancel := context.WithTimeout(t.Context(), Patience)
		defer cancel()
		bus, ctx := s.bus(ctx, t, everything)
		var batches []*autobus.Batch
		for range attempts { // none of them waits for the one before
			b := &autobus.Batch{Events: []autobus.Event{e}}
			if err := bus.Publish(ctx, b); err != nil {
				t.Fatal(err)
			}
			batches = append(batches, b)
		}
		own := 0
		var last autobus.Receipt
		for _, b := range batches {
			rs := b.Wait(ctx)
			written(t, rs)
			if !rs[0].Duplicate {
				own++
			}
			last = rs[0]
		}
		if own != 1 {
			t.Errorf("%d of %d attempts say that they wrote it, want one", own, attempts)
		}
		s.one(t, e, last)
	})

	t.Run("TwiceInOneBatch", func(t *testing.T) {
		e := s.event(s.types.Keyed, s.unique("key"))
		rs := s.publish(t, e, e)
		written(t, rs)
		if rs[0].Duplicate || !rs[1].Duplicate {
			t.Errorf("duplicate: %v and %v, want the second", rs[0].Duplicate, rs[1].Duplicate)
		}
		s.one(t, e, rs[1])
	})

	t.Run("OtherContent", func(t *testing.T) {
		e := s.event(s.types.Keyed, s.unique("key"))
		rs := s.publish(t, e)
		written(t, rs)
		data, typ := e, e
		data.Data = fmt.Appendf(nil, `{"order":%q,"n":-1}`, s.unique("key"))
		typ.Type = s.types.Sarama
		for _, other := range []autobus.Event{data, typ} {
			refused(t, s.publish(t, other)[0], autobus.ReasonIDConflict)
		}
		s.one(t, e, rs[0])
		s.none(t, typ)
	})

	t.Run("OtherSource", func(t *testing.T) {
		e := s.event(s.types.Keyed, s.unique("key"))
		other := e
		other.Source = "/another"
		rs := s.publish(t, e, other)
		written(t, rs)
		if rs[1].Duplicate || len(s.copies(t, e)) != 2 {
			t.Error("the same id of another source counts as a duplicate")
		}
	})

	t.Run("OtherPrincipal", func(t *testing.T) {
		e := s.event(s.types.Keyed, s.unique("key"))
		e.Source = "/shared"
		written(t, s.publish(t, e))
		another := autobus.Principal{Name: "another", Grants: everything.Grants}
		b := &autobus.Batch{Events: []autobus.Event{e}}
		bus, ctx := s.bus(t.Context(), t, another)
		if err := bus.Publish(ctx, b); err != nil {
			t.Fatal(err)
		}
		rs := b.Wait(ctx)
		written(t, rs)
		if rs[0].Duplicate {
			t.Error("one principal learns what another one published")
		}
	})

	t.Run("RefusalIsForgotten", func(t *testing.T) {
		good := s.event(s.types.Keyed, s.unique("key"))
		bad := good
		bad.Data = []byte(`{"order":"x","total":"much"}`)
		refused(t, s.publish(t, bad)[0], autobus.ReasonDataInvalid)
		rs := s.publish(t, good)
		written(t, rs)
		if rs[0].Duplicate {
			t.Error("the refused attempt counts as a first copy")
		}
		s.one(t, good, rs[0])
	})
}
