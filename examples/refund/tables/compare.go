// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// compare prints the tables side by side, then the log beside the outboxes, and collects what differs.
func (o options) compare(ctx context.Context, all databases) error {
	known, err := all.refunds(ctx)
	if err != nil {
		return err
	}
	refunds := slices.SortedFunc(maps.Values(known), func(a, b *refund) int {
		return strings.Compare(a.country+a.order, b.country+b.order)
	})
	var faults []error
	rejected := 0
	for _, r := range refunds {
		if fault := r.fault(); fault != "" {
			faults = append(faults, fmt.Errorf("%s: %s: %+v", r.order, fault, *r))
		}
		if r.rejected != "" {
			rejected++
		}
	}
	sums(refunds)
	if len(refunds) != o.refunds || rejected != o.rejected {
		faults = append(faults, fmt.Errorf("%d refunds, %d of them rejected; want %d and %d", len(refunds), rejected,
			o.refunds, o.rejected))
	}
	faults = append(faults, o.log(ctx, all), o.again(ctx, all))
	return errors.Join(faults...)
}

// fault says where the services do not agree on a refund, or where it is not at its end.
func (r *refund) fault() string {
	switch {
	case r.bob == "" || r.bob != r.tool:
		return "BOB and Refund Tool differ"
	case r.rejected != "" && (r.learned != "created rejected" || r.paid != "" || r.receipt != ""):
		return "it was rejected, and went on"
	case r.rejected == "" && r.learned != "created refunded receipt":
		return "it is not at its end"
	case r.rejected == "" && (r.paid != r.amount || r.receipt != r.amount):
		return "the money differs"
	}
	return ""
}

// sums prints what each service counts.
func sums(refunds []*refund) {
	type sum struct{ bob, bobRefunded, bobRejected, tool, toolRefunded, toolRejected, paid, receipts int }
	by := map[string]*sum{"all": {}}
	add := func(n *int, is bool) {
		if is {
			*n++
		}
	}
	for _, r := range refunds {
		if by[r.country] == nil {
			by[r.country] = &sum{}
		}
		for _, s := range []*sum{by[r.country], by["all"]} {
			add(&s.bob, r.bob != "")
			add(&s.bobRefunded, strings.HasSuffix(r.bob, " refunded"))
			add(&s.bobRejected, strings.HasSuffix(r.bob, " rejected"))
			add(&s.tool, r.tool != "")
			add(&s.toolRefunded, strings.HasSuffix(r.tool, " refunded"))
			add(&s.toolRejected, strings.HasSuffix(r.tool, " rejected"))
			add(&s.paid, r.paid != "")
			add(&s.receipts, r.receipt != "")
		}
	}
	fmt.Printf("%-9s %-28s %-28s %8s %15s\n", "", "BOB", "Refund Tool", "Payment", "Fiscalization")
	fmt.Printf("%-9s %-8s %9s %9s %-8s %9s %9s %8s %15s\n", "country", "requests", "refunded", "rejected", "refunds",
		"refunded", "rejected", "paid", "receipts")
	for _, country := range append(countries(), "all") {
		if s := by[country]; s != nil {
			fmt.Printf("%-9s %8d %9d %9d %8d %9d %9d %8d %15d\n", country, s.bob, s.bobRefunded, s.bobRejected, s.tool,
				s.toolRefunded, s.toolRejected, s.paid, s.receipts)
		}
	}
}
