// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
)

// row is a run and what it came to.
type row struct {
	job
	rate    string // events a second that were written before the fault, or in the median second
	result  string
	verdict string
}

// void is the result of a run that did not come to one.
const void = "void"

// table is the rows in their order.
type table struct{ rows []*row }

// came says what a run measured. Lost events are those that were acknowledged and are not in the log.
func (r *row) came(x *trial, rep bustest.Report, format string, args ...any) {
	r.rate = fmt.Sprintf("%.0f", x.came)
	r.result = fmt.Sprintf("%d of %d acknowledged lost; ", count(rep, bustest.Lost), rep.Written) +
		fmt.Sprintf(format, args...)
	x.t.Logf("figures: %s events/s; %s", r.rate, r.result)
}

// consumed says what a run with a subscription measured. Skipped events are those that reached no final state.
func (r *row) consumed(t *testing.T, l *source, rep bustest.Report, format string, args ...any) {
	r.rate = fmt.Sprint(l.timeline().written().usual())
	r.result = fmt.Sprintf("%d of %d acknowledged lost, %d of %d skipped, %d inversions; ", count(rep, bustest.Lost),
		rep.Written, count(rep, bustest.Missing), rep.Records, count(rep, bustest.Overtaken, bustest.Reordered)) +
		fmt.Sprintf(format, args...)
	t.Logf("figures: %s events/s; %s", r.rate, r.result)
}

// asked says what a run with requests measured.
func (r *row) asked(t *testing.T, sc scale, rep bustest.Report, format string, args ...any) {
	r.rate = "-"
	if sc.rate > 0 {
		r.rate = fmt.Sprint(sc.rate)
	}
	r.result = fmt.Sprintf("%d requests, %d answers went astray, %d came twice, %d not found; ", rep.Requests,
		count(rep, bustest.Crossed, bustest.Altered, bustest.Phantom), count(rep, bustest.Twice),
		count(rep, bustest.Unfound)) + fmt.Sprintf(format, args...)
	t.Logf("figures: %s", r.result)
}

func count(rep bustest.Report, rules ...bustest.Rule) (n int) {
	for _, f := range rep.Faults {
		if slices.Contains(rules, f.Rule) {
			n++
		}
	}
	return n
}

func (r *row) String() string {
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", r.id, r.fault, r.pass, r.rate, r.result, r.verdict)
}

func (tab *table) String() string {
	var b strings.Builder
	b.WriteString("| # | fault | must hold | events/s | measured | verdict |\n|---|---|---|---|---|---|\n")
	for _, r := range tab.rows {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}
