// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"time"
)

// Skew that is told. Deadlines of leases, starts by time and the age of what is not done yet go by the clocks of
// instances, so half a second is worth a warning; beyond five of them people see wrong numbers.
const (
	skewWarning = 500 * time.Millisecond
	skewProblem = 5 * time.Second
)

// clock holds this machine's clock against the controller's.
func (l *list) clock(ctx context.Context, t Target) {
	if t.Embedded {
		l.ok(CheckClock, "cluster", "the embedded broker goes by its own machine's clock")
		return
	}
	ahead, within, err := t.Log.Clock(ctx)
	if err != nil {
		l.skip(CheckClock, "controller", err.Error(), "it needs KRaft, Kafka 3.3 or newer, and Describe on the cluster")
		return
	}
	*l = append(*l, Skew("controller", ahead, within))
}

// Skew judges how far another clock is ahead of this machine's, when that is known within so much.
func Skew(where string, ahead, within time.Duration) Finding {
	within = within.Round(time.Millisecond)
	certain := ahead.Abs() - within
	if certain <= 0 {
		return Finding{OK, CheckClock, where, fmt.Sprintf("its clock and this machine's agree within %s", within), ""}
	}
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	f := Finding{OK, CheckClock, where, fmt.Sprintf("its clock is %s %s this machine's, give or take %s",
		ahead.Abs().Round(time.Millisecond), side, within), ""}
	switch {
	case certain > skewProblem:
		f.Severity = Problem
	case certain > skewWarning:
		f.Severity = Warning
	default:
		return f
	}
	f.Fix = "let both machines follow a time server, such as chrony"
	return f
}
