// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFault(t *testing.T) {
	good := refund{order: "RU-1", country: "ru", bob: "1 refunded", tool: "1 refunded",
		learned: "created refunded receipt", amount: "1 99.00", paid: "1 99.00", receipt: "1 99.00"}
	no := refund{order: "RU-2", country: "ru", bob: "2 rejected", tool: "2 rejected", learned: "created rejected",
		amount: "2 99.00", rejected: "closed"}
	for name, c := range map[string]struct {
		refund refund
		change func(r *refund)
		want   string
	}{
		"refunded":        {good, func(*refund) {}, ""},
		"rejected":        {no, func(*refund) {}, ""},
		"lost at BOB":     {good, func(r *refund) { r.bob = "" }, "BOB and Refund Tool differ"},
		"lost at tool":    {good, func(r *refund) { r.tool = "" }, "BOB and Refund Tool differ"},
		"other id":        {good, func(r *refund) { r.bob = "3 refunded" }, "BOB and Refund Tool differ"},
		"no receipt":      {good, func(r *refund) { r.receipt = "" }, "the money differs"},
		"unpaid":          {good, func(r *refund) { r.paid = "" }, "the money differs"},
		"other amount":    {good, func(r *refund) { r.paid = "1 98.00" }, "the money differs"},
		"not at its end":  {good, func(r *refund) { r.learned = "created refunded" }, "it is not at its end"},
		"paid even so":    {no, func(r *refund) { r.paid = "2 99.00" }, "it was rejected, and went on"},
		"learned further": {no, func(r *refund) { r.learned = "created rejected refunded" }, "it was rejected, and went on"},
	} {
		r := c.refund
		c.change(&r)
		if got := r.fault(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
