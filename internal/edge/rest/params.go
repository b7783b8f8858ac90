// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"net/url"
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
}

func publishOptions(r *http.Request) (o options, err *autobus.Error) {
	q, err := edge.Query(r, "mode", "timeout", "deliver_at", "delay")
	if err != nil {
		return o, err
	}
	if q.Has("deliver_at") || q.Has("delay") {
		return o, autobus.NewError(autobus.ReasonUnimplemented, "scheduled publishing is not offered").
			WithHint("Leave deliver_at and delay away and publish when it is time.")
	}
	if o.mode, err = publishMode(q); err != nil {
		return o, err
	}
	o.timeout, err = publishTimeout(q)
	return o, err
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
