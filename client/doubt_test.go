// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"errors"
	"testing"

	"github.com/autobus-io/autobus"
)

// What a gateway may have written before the connection broke is not refused for certain: only the attempt that is
// answered wrote nothing.
func TestARefusalAfterABreakIsUnknown(t *testing.T) {
	for name, refuse := range map[string]func(c *link, f *frame){
		"an event": func(c *link, f *frame) {
			c.published(*f.Seq, `,"results":[`+refusedResult(0, autobus.ReasonQuota)+`]`,
				autobus.Receipt{Status: autobus.Refused})
		},
		"a frame": func(c *link, f *frame) {
			c.text(`{"op":"error","seq":%d,"error":%s}`, *f.Seq, problem(autobus.ReasonForbidden))
		},
	} {
		for _, stream := range []*autobus.Stream{nil, {}} {
			t.Run(name, func(t *testing.T) {
				g := newGateway(t)
				g.script = func(c *link, f *frame) bool {
					switch {
					case f.Op != "publish":
						return false
					case c.number == 0: // written, not told
						g.write(f.events)
						_ = c.socket.CloseNow()
					default:
						refuse(c, f)
					}
					return true
				}
				b := batch("a")
				b.Stream = stream
				publish(t, g.client(), b)
				r := receipts(t, b, autobus.Unknown)[0]
				if err := r.AsError(); !errors.Is(err, autobus.ErrUnknown) || r.Err.Cause == nil {
					t.Errorf("got %v, caused by %v", err, r.Err.Cause)
				}
			})
		}
	}
}

// In one answer the refusal of an event is certain whatever became of the others.
func TestARefusalBesideAnUnknownIsCertain(t *testing.T) {
	g := newGateway(t)
	g.script = func(c *link, f *frame) bool {
		if f.Op != "publish" || len(f.events) == 1 {
			return false
		}
		c.published(*f.Seq, `,"results":[`+refusedResult(1, autobus.ReasonDataInvalid)+`]`,
			autobus.Receipt{Status: autobus.Unknown}, autobus.Receipt{Status: autobus.Refused})
		return true
	}
	b := batch("a", "b")
	publish(t, g.client(), b)
	if rs := receipts(t, b, autobus.Written, autobus.Refused); rs[1].Err.Reason != autobus.ReasonDataInvalid {
		t.Errorf("got %v", rs[1].Err)
	}
}
