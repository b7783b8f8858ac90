// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

// limit checks both sides of each limit: the largest that passes and the smallest that does not.
func (s *suite) limit(t *testing.T) {
	// sized makes an event whose data has exactly so many bytes.
	sized := func(typ string, bytesOfData int) autobus.Event {
		e := autobus.Event{ID: s.unique("id"), Type: typ, Source: "/limit"}
		head, tail := `{"order":"limit","note":"`, `"}`
		e.Data = []byte(head + strings.Repeat("x", bytesOfData-len(head)-len(tail)) + tail)
		return e
	}
	nested := func(arrays int) autobus.Event { // one object around the arrays
		e := s.event(s.types.Keyed, "limit")
		e.Data = []byte(`{"order":"limit","extra":` + strings.Repeat("[", arrays) + strings.Repeat("]", arrays) + `}`)
		return e
	}
	with := func(change func(*autobus.Event)) autobus.Event {
		e := s.event(s.types.Keyed, "limit")
		change(&e)
		return e
	}
	extensions := func(n int) autobus.Event {
		return with(func(e *autobus.Event) {
			for i := range n {
				e.SetExt(fmt.Sprintf("x%d", i), "v")
			}
		})
	}
	data := func(text string) autobus.Event { return with(func(e *autobus.Event) { e.Data = []byte(text) }) }

	// The key counts too, and ids are not all of one length.
	small := sized(s.types.Keyed, 1000)
	largest := sized(s.types.Keyed, autobus.MaxEventBytes-(small.Size()-len(small.Data))-len("limit")-16)

	for _, c := range []struct {
		name string
		e    autobus.Event
		why  autobus.Reason // "" = it passes
	}{
		{"Event", largest, ""},
		{"EventOver", sized(s.types.Keyed, autobus.MaxEventBytes+1), autobus.ReasonEventTooLarge},
		{"SmallType", sized(s.types.Small, SmallTopicBytes-4096), ""},
		{"SmallTypeOver", sized(s.types.Small, SmallTopicBytes), autobus.ReasonEventTooLarge},
		{"Key", s.event(s.types.Keyed, strings.Repeat("k", autobus.MaxKeyBytes)), ""},
		{"KeyOver", s.event(s.types.Keyed, strings.Repeat("k", autobus.MaxKeyBytes+1)), autobus.ReasonKeyTooLarge},
		{"Attribute", with(func(e *autobus.Event) {
			e.SetExt("long", strings.Repeat("v", autobus.MaxAttributeBytes))
		}), ""},
		{"AttributeOver", with(func(e *autobus.Event) {
			e.SetExt("long", strings.Repeat("v", autobus.MaxAttributeBytes+1))
		}), autobus.ReasonHeaderTooLarge},
		{"Extensions", extensions(autobus.MaxExtensions), ""},
		{"ExtensionsOver", extensions(autobus.MaxExtensions + 1), autobus.ReasonHeaderTooLarge},
		{"Reserved", with(func(e *autobus.Event) { e.SetExt("autobusepoch", "7") }), autobus.ReasonHeaderReserved},
		{"Depth", nested(autobus.MaxDepth - 1), ""},
		{"DepthOver", nested(autobus.MaxDepth), autobus.ReasonDataUnreadable},
		{"Number", data(`{"order":"limit","extra":` + strings.Repeat("1", autobus.MaxNumberBytes) + `}`), ""},
		{"NumberOver", data(`{"order":"limit","extra":` + strings.Repeat("1", autobus.MaxNumberBytes+1) + `}`),
			autobus.ReasonDataUnreadable},
		{"DuplicateKey", data(`{"order":"limit","n":1,"n":2}`), autobus.ReasonDataUnreadable},
		{"DuplicateKeyEscaped", data(`{"order":"limit","\u006f\u0072der":"x"}`), autobus.ReasonDataUnreadable},
		{"BadUTF8", data("{\"order\":\"limit\",\"note\":\"\xff\"}"), autobus.ReasonDataUnreadable},
		{"NotJSON", data(`order=limit`), autobus.ReasonDataUnreadable},
		{"TwoValues", data(`{"order":"limit"}{}`), autobus.ReasonDataUnreadable},
		{"ID", with(func(e *autobus.Event) {
			e.ID += strings.Repeat("i", autobus.MaxIDBytes-len(e.ID))
		}), ""},
		{"IDOver", with(func(e *autobus.Event) {
			e.ID += strings.Repeat("i", autobus.MaxIDBytes+1-len(e.ID))
		}), autobus.ReasonHeaderTooLarge},
		{"IDControl", with(func(e *autobus.Event) { e.ID += "\n" }), autobus.ReasonEventInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.publish(t, c.e)[0]
			if c.why != "" {
				refused(t, r, c.why)
				s.none(t, c.e)
				return
			}
			written(t, []autobus.Receipt{r})
			if got := s.one(t, c.e, r).Value; !bytes.Equal(got, c.e.Data) {
				t.Errorf("%d bytes went in, %d other bytes came out", len(c.e.Data), len(got))
			}
		})
	}

	t.Run("ContentType", func(t *testing.T) {
		e := with(func(e *autobus.Event) { e.ContentType = "text/plain" })
		refused(t, s.publish(t, e)[0], autobus.ReasonContentType)
		s.none(t, e)
	})

	t.Run("Batch", func(t *testing.T) {
		events := make([]autobus.Event, autobus.MaxBatchEvents+1)
		for i := range events {
			events[i] = s.event(s.types.Keyless, "")
		}
		bus, ctx := s.bus(t.Context(), t, everything)
		if err := bus.Publish(ctx, &autobus.Batch{Events: events}); err == nil {
			t.Errorf("a batch of %d events passed", len(events))
		}
		s.none(t, events[0])
	})
}

// durability checks that the bus promises nothing that a topic cannot hold.
func (s *suite) durability(t *testing.T) {
	if lacks(t, s.features.NoDurability) {
		return
	}
	weak := s.event(s.types.Weak, "x")
	refused(t, s.publish(t, weak)[0], autobus.ReasonNotDurable)
	s.none(t, weak)
	loose := s.event(s.types.Loose, "x")
	rs := s.publish(t, loose)
	written(t, rs)
	s.one(t, loose, rs[0])
}
