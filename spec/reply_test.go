// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"testing"

	"github.com/autobus-io/autobus"
)

func TestCheckReply(t *testing.T) {
	s := parseDir(t, "testdata/shop")
	command, _ := s.Type("refunds.refund.create.v1")
	event, _ := s.Type("orders.order.placed.v1")
	const problem, plain = "application/problem+json", "application/json"
	for name, c := range map[string]struct {
		to                  *Type
		failed, media, data string
		want                autobus.Reason
	}{
		"success":                     {command, "", "", `{"refundId":"r-1"}`, ""},
		"not as declared":             {command, "", "", `{"refundId":1}`, autobus.ReasonDataInvalid},
		"undeclared field":            {command, "", "", `{"refundId":"r-1","x":1}`, autobus.ReasonDataInvalid},
		"error by its key":            {command, "rejected", "", `{"code":-1,"message":"no"}`, ""},
		"error by its name":           {command, "RefundRejected", "", `{"code":-1,"message":"no"}`, ""},
		"error of another form":       {command, "rejected", "", `{"refundId":"r-1"}`, autobus.ReasonDataInvalid},
		"error that is none":          {command, "created", "", `{"refundId":"r-1"}`, autobus.ReasonEventInvalid},
		"error that nobody declares":  {command, "lost", "", `{}`, autobus.ReasonEventInvalid},
		"error data without the name": {command, "", "", `{"code":-1,"message":"no"}`, autobus.ReasonDataInvalid},
		"problem":                     {command, "problem", problem, `{"reason":"internal","detail":"x"}`, ""},
		"problem without a reason":    {command, "problem", problem, `{}`, autobus.ReasonEventInvalid},
		"problem as plain JSON":       {command, "problem", plain, `{"reason":"internal"}`, autobus.ReasonEventInvalid},
		"to an event":                 {event, "", "", `{}`, autobus.ReasonEventInvalid},
		"problem to an event":         {event, "problem", problem, `{"reason":"internal"}`, ""},
		"without a spec":              {nil, "", "", `{"any":1}`, ""},
		"error without a spec":        {nil, "busy", "", `{"any":1}`, ""},
		"no JSON without a spec":      {nil, "", "", `{`, autobus.ReasonDataUnreadable},
	} {
		e := autobus.Event{Type: "refunds.refund.create.v1.reply", ContentType: c.media, Data: []byte(c.data)}
		if c.failed != "" {
			e.SetExt(autobus.ExtError, c.failed)
		}
		got := CheckReply(c.to, &e)
		if got == nil && c.want != "" || got != nil && got.Reason != c.want {
			t.Errorf("%s: got %v, want %q", name, got, c.want)
		}
	}
}
