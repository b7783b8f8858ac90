// SPDX-License-Identifier: Apache-2.0

package autobus

import "slices"

// Bounds of what a policy may name.
const (
	maxPolicyTypes  = 100
	maxParams       = 64
	maxFilterBytes  = 4 << 10
	maxBackoff      = 16
	MaxWindowEvents = 10_000
	MaxWindowBytes  = 64 << 20
)

// Check holds a policy against its bounds; ReasonSubscriptionInvalid names the field. It does not judge the filter.
func (p *Policy) Check() *Error {
	switch {
	case len(p.Types) == 0:
		return invalidPolicy("types is missing").WithHint(`Name at least one type or pattern, such as "orders.*".`)
	case len(p.Types) > maxPolicyTypes:
		return invalidPolicy("types has %d entries, at most %d are allowed", len(p.Types), maxPolicyTypes)
	case len(p.Filter) > maxFilterBytes:
		return invalidPolicy("filter has %d bytes, at most %d are allowed", len(p.Filter), maxFilterBytes)
	case len(p.Params) > maxParams:
		return invalidPolicy("params has %d entries, at most %d are allowed", len(p.Params), maxParams)
	case !slices.Contains([]Order{"", OrderKey, OrderPartition, OrderNone}, p.Order):
		return invalidPolicy("order %q is not one", clip(string(p.Order))).WithHint("Use key, partition or none.")
	case p.Queue && p.Order != "" && p.Order != OrderNone:
		return invalidPolicy("queue has no order, but order is %s", p.Order).WithHint("Leave one of the two away.")
	case p.AckWait != 0 && (p.AckWait < MinAckWait || p.AckWait > MaxAckWait):
		return invalidPolicy("ack_wait %s is not between %s and %s", p.AckWait, MinAckWait, MaxAckWait)
	case len(p.Owner) > MaxIDBytes:
		return invalidPolicy("owner has %d bytes, at most %d are allowed", len(p.Owner), MaxIDBytes)
	}
	for i, t := range p.Types {
		if !ValidPattern(t) || ReservedName(t) {
			return invalidPolicy("types: %q is neither a type nor a pattern", clip(t)).
				WithHint("A pattern is a type's name in which a whole segment may be *: orders.order.placed.v1, orders.*, *.")
		}
		if slices.Contains(p.Types[:i], t) {
			return invalidPolicy("types: %s stands twice", t)
		}
	}
	if p.Window != nil {
		if err := p.Window.Check(); err != nil {
			return invalidPolicy("%s", err.Detail)
		}
	}
	if err := p.Delivery.check(p.windowOrDefault()); err != nil {
		return err
	}
	return p.checkRetry()
}

func (p *Policy) checkRetry() *Error {
	r := p.Retry
	switch {
	case r.MaxAttempts < 0 || r.MaxAttempts > MaxAttempts:
		return invalidPolicy("retry.max_attempts is %d, not 1 to %d", r.MaxAttempts, MaxAttempts)
	case r.MaxTime < 0:
		return invalidPolicy("retry.max_time %s is negative", r.MaxTime)
	case len(r.Backoff) > maxBackoff:
		return invalidPolicy("retry.backoff has %d waits, at most %d are allowed", len(r.Backoff), maxBackoff)
	case !slices.Contains([]OnExhausted{"", ToDeadLetters, Hold, Drop, Stop}, p.OnExhausted):
		return invalidPolicy("on_exhausted %q is not one", clip(string(p.OnExhausted))).
			WithHint("Use dlq, hold, drop or stop.")
	}
	for _, d := range r.Backoff {
		if d < 0 || d > MaxRetryDelay {
			return invalidPolicy("retry.backoff: %s is not between 0s and %s", d, MaxRetryDelay)
		}
	}
	return nil
}

// Check holds a window against its bounds: neither 0 for both nor negative nor above MaxWindowEvents, MaxWindowBytes.
func (w Window) Check() *Error {
	switch {
	case w.Events <= 0 && w.Bytes <= 0, w.Events < 0, w.Bytes < 0:
		return NewError(ReasonRequestInvalid, "window holds %d events and %d bytes, nothing would ever fit", w.Events,
			w.Bytes).WithHint("Give at least one event; 1 is lock-step.")
	case w.Events > MaxWindowEvents, w.Bytes > MaxWindowBytes:
		return NewError(ReasonRequestInvalid, "window holds %d events and %d bytes, at most %d and %d are allowed", w.Events,
			w.Bytes, MaxWindowEvents, MaxWindowBytes)
	}
	return nil
}

// WithDefaults fills in what a policy does not say, so that two that mean the same are the same.
func (p Policy) WithDefaults() Policy {
	switch {
	case p.Queue:
		p.Order = OrderNone
	case p.Order == "":
		p.Order = OrderKey
	}
	w := p.windowOrDefault()
	p.Window, p.Delivery = &w, p.Delivery.withDefaults(w)
	if p.AckWait == 0 {
		p.AckWait = DefaultAckWait
	}
	if len(p.Retry.Backoff) == 0 {
		p.Retry.Backoff = DefaultBackoff()
	}
	if p.Retry.MaxAttempts == 0 {
		p.Retry.MaxAttempts = DefaultAttempts
	}
	if p.OnExhausted == "" {
		p.OnExhausted = ToDeadLetters
	}
	return p
}

func (p *Policy) windowOrDefault() Window {
	if p.Window == nil {
		return Window{}.WithDefaults()
	}
	return p.Window.WithDefaults()
}

// WithDefaults fills in what a window does not say.
func (w Window) WithDefaults() Window {
	if w.Events == 0 {
		w.Events = DefaultEvents
	}
	if w.Bytes == 0 {
		w.Bytes = DefaultBytes
	}
	return w
}

func invalidPolicy(format string, args ...any) *Error {
	return NewError(ReasonSubscriptionInvalid, format, args...)
}
