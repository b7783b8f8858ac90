// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

const (
	defaultTimeout = 15 * time.Second // a broker's death is noticed after 9 to 12 s
	maxTimeout     = 60 * time.Second
)

// options are the parameters of a publish.
type options struct {
	mode    autobus.Mode
	timeout time.Duration
	at      time.Time     // when all events are to be delivered; zero = not said
	delay   time.Duration // for how long each is to be delayed; 0 = not said
}

func publishOptions(r *http.Request) (o options, err *autobus.Error) {
	q, err := edge.Query(r, "mode", "timeout", "deliver_at", "delay")
	if err != nil {
		return o, err
	}
	if err = o.later(q); err != nil {
		return o, err
	}
	if o.mode, err = publishMode(q); err != nil {
		return o, err
	}
	o.timeout, err = publishTimeout(q)
	return o, err
}

// later reads when the events are to be delivered. Whether that time can be kept is the bus's to say.
func (o *options) later(q url.Values) *autobus.Error {
	at, err := edge.Single(q, "deliver_at")
	if err != nil {
		return err
	}
	d, err := edge.Single(q, "delay")
	if err != nil {
		return err
	}
	switch {
	case q.Has("deliver_at") && q.Has("delay"):
		return autobus.NewError(autobus.ReasonScheduleInvalid, "both deliver_at and delay are given")
	case q.Has("deliver_at"):
		// A + that nobody escaped is a space; a time has no other.
		var ok bool
		if o.at, ok = autobus.ParseTime(strings.ReplaceAll(at, " ", "+")); !ok {
			return autobus.NewError(autobus.ReasonScheduleInvalid, "deliver_at %q is not RFC 3339 with an offset",
				edge.Clip(at)).WithHint("Send it as 2026-01-31T15:04:05Z or with an offset such as %%2B03:00.")
		}
	case q.Has("delay"):
		var bad error
		if o.delay, bad = time.ParseDuration(d); bad != nil || o.delay <= 0 || o.delay > autobus.MaxDelay {
			return autobus.NewError(autobus.ReasonScheduleInvalid, "delay %q is not a duration above 0 and up to %dh",
				edge.Clip(d), int(autobus.MaxDelay.Hours())).WithHint("Send it as 10m or 36h.")
		}
	}
	return nil
}

// schedule gives an event the time that the request says. One that has a time of its own as well is refused.
func (o *options) schedule(ev *autobus.Event) *autobus.Error {
	at := o.at
	switch {
	case o.delay > 0:
		at = time.Now().Add(o.delay)
	case at.IsZero():
		return nil
	}
	if _, own := ev.Ext(autobus.ExtDeliverAt); own {
		return autobus.NewError(autobus.ReasonScheduleInvalid, "both the request and the event say when to deliver it")
	}
	ev.SetExt(autobus.ExtDeliverAt, at.UTC().Format(time.RFC3339Nano))
	return nil
}

func publishMode(q url.Values) (autobus.Mode, *autobus.Error) {
	mode, err := edge.Single(q, "mode")
	if err != nil || !q.Has("mode") {
		return autobus.Independent, err
	}
	return edge.ParseMode(mode)
}

func publishTimeout(q url.Values) (time.Duration, *autobus.Error) {
	s, err := edge.Single(q, "timeout")
	if err != nil || !q.Has("timeout") {
		return defaultTimeout, err
	}
	d, bad := time.ParseDuration(s)
	if bad != nil || d <= 0 || d > maxTimeout {
		return 0, autobus.NewError(autobus.ReasonRequestInvalid, "timeout %q is not a duration above 0 and up to 60s",
			edge.Clip(s)).WithHint("Send it as 15s or 500ms.")
	}
	return d, nil
}
