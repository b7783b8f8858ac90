// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

const (
	// MaxSettlements is how many outcomes one request or frame may tell.
	MaxSettlements = 10_000
	// maxReason is what is kept of a reason. It may be a whole stack trace, for which no outcome is refused.
	maxReason = 1 << 10
)

// Settle tells the bus the outcomes that could be read; of each that did not count Err says why, also of those that
// could not be read. subscription is whose leases they have to be; empty = any. The error means that none counted.
func Settle(
	ctx context.Context, bus autobus.Bus, subscription string, raw []json.RawMessage,
) ([]autobus.Settlement, *autobus.Error) {
	if err := TooManySettlements(len(raw)); err != nil {
		return nil, err
	}
	all := make([]autobus.Settlement, len(raw))
	good := make([]autobus.Settlement, 0, len(raw))
	places := make([]int, 0, len(raw))
	for i := range raw {
		all[i] = readSettlement(raw[i])
		all[i].Subscription = subscription
		if all[i].Err == nil {
			good, places = append(good, all[i]), append(places, i)
		}
	}
	if len(good) == 0 {
		return all, nil
	}
	if err := bus.Settle(ctx, good); err != nil {
		return all, autobus.AsError(err)
	}
	for j, i := range places {
		all[i].Err = good[j].Err
	}
	return all, nil
}

// SettleFrame tells the bus one outcome of several records of a frame, whose leases have to be of the subscription;
// empty = any. The error means that none counted.
func SettleFrame(
	ctx context.Context, bus autobus.Bus, subscription string, frame autobus.Lease, o autobus.Outcome, offsets []int64,
) ([]autobus.Settlement, *autobus.Error) {
	all := make([]autobus.Settlement, len(offsets))
	for i, offset := range offsets {
		all[i] = autobus.Settlement{Lease: frame.At(offset), Subscription: subscription, Outcome: o}
	}
	if len(all) == 0 {
		return all, nil
	}
	if err := bus.Settle(ctx, all); err != nil {
		return all, autobus.AsError(err)
	}
	return all, nil
}

// TooManySettlements refuses n outcomes at once; nil = they are not too many.
func TooManySettlements(n int) *autobus.Error {
	if n <= MaxSettlements {
		return nil
	}
	return autobus.NewError(autobus.ReasonBatchTooLarge, "%d results, at most %d are taken at once", n, MaxSettlements).
		WithHint("Send at most %d results at once.", MaxSettlements)
}

// readSettlement reads {"lease","outcome","delay"?,"reason"?}. With an Err it holds what could be read.
func readSettlement(raw []byte) (s autobus.Settlement) {
	var in struct {
		Lease   autobus.Lease       `json:"lease"`
		Outcome autobus.OutcomeKind `json:"outcome"`
		Delay   *autobus.Duration   `json:"delay"`
		Reason  string              `json:"reason"`
	}
	err := autobus.StrictJSON(raw, &in)
	s.Lease = in.Lease
	switch {
	case err != nil:
		s.Err = outcomeInvalid("the result cannot be read: %s", JSONFault(err))
	case in.Lease == "":
		s.Err = outcomeInvalid("the result names no lease")
	default:
		s.Outcome, s.Err = Outcome(in.Outcome, in.Delay, in.Reason)
	}
	return s
}

// Outcome makes one of what a client says of it; a delay is nil when none is told.
func Outcome(kind autobus.OutcomeKind, delay *autobus.Duration, reason string) (autobus.Outcome, *autobus.Error) {
	o := autobus.Outcome{Kind: kind, Reason: clipReason(reason)}
	switch kind {
	case autobus.Ack, autobus.Retry, autobus.Skip, autobus.Reject, autobus.Extend:
	case autobus.Release: // the bus knows from whom it takes it
	case "":
		return o, outcomeInvalid("the result has no outcome")
	default:
		return o, outcomeInvalid("there is no outcome %q", Clip(string(kind)))
	}
	switch {
	case delay == nil:
		return o, nil
	case kind != autobus.Retry:
		return o, outcomeInvalid("%s takes no delay", kind)
	case *delay < 0:
		return o, outcomeInvalid("the delay %s is negative", delay)
	}
	o.Delay = time.Duration(*delay)
	return o, nil
}

func outcomeInvalid(format string, args ...any) *autobus.Error {
	return autobus.NewError(autobus.ReasonOutcomeInvalid, format, args...)
}

// What became of one outcome that a client told.
const (
	settledOK      = "ok"
	settledStale   = "stale"   // too late
	settledUnknown = "unknown" // forged, or of another subscription
	settledInvalid = "invalid" // no outcome; the lease still stands
	settledFailed  = "failed"  // the bus could not take it now; the lease still stands
)

// AppendSettled appends the members of the object that tells what became of an outcome: "lease", "status", and "error"
// where the status does not say all.
func AppendSettled(dst []byte, r *http.Request, s *autobus.Settlement) []byte {
	status := settledStatus(s.Err)
	dst = append(dst, `"lease":`...)
	dst = autobus.AppendString(dst, string(s.Lease))
	dst = append(dst, `,"status":"`...)
	dst = append(dst, status...)
	dst = append(dst, '"')
	if status == settledInvalid || status == settledFailed {
		LogCause(r, s.Err)
		dst = append(dst, `,"error":`...)
		dst = AppendProblem(dst, s.Err, RequestID(r.Context()))
	}
	return dst
}

func settledStatus(err *autobus.Error) string {
	switch {
	case err == nil:
		return settledOK
	case err.Reason == autobus.ReasonLeaseStale:
		return settledStale
	case err.Reason == autobus.ReasonLeaseUnknown:
		return settledUnknown
	case err.Reason == autobus.ReasonOutcomeInvalid:
		return settledInvalid
	}
	return settledFailed
}

func clipReason(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
