// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

const (
	defaultTimeout = 15 * time.Second // a broker's death is noticed after 9 to 12 s
	maxTimeout     = 60 * time.Second
)

// query reads the parameters of a request. One that is not among known is refused rather than ignored: it stands for
// something the caller relies on.
func query(r *http.Request, known ...string) (url.Values, *autobus.Error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "the query cannot be read: %v", err)
	}
	for name := range q {
		if slices.Contains(known, name) {
			continue
		}
		e := autobus.NewError(autobus.ReasonRequestInvalid, "there is no parameter %q", clip(name))
		if near := autobus.Near(strings.ToLower(name), known, 1); len(near) > 0 {
			return nil, e.WithHint("Did you mean %s?", near[0])
		}
		return nil, e.WithHint("The parameters are %s.", strings.Join(known, ", "))
	}
	return q, nil
}

// single gives the value of a parameter that may stand once.
func single(q url.Values, name string) (string, *autobus.Error) {
	if len(q[name]) > 1 {
		return "", autobus.NewError(autobus.ReasonRequestInvalid, "the parameter %s stands %d times", name, len(q[name]))
	}
	return q.Get(name), nil
}

// options are the parameters of a publish.
type options struct {
	mode    autobus.Mode
	timeout time.Duration
}

func publishOptions(r *http.Request) (o options, err *autobus.Error) {
	q, err := query(r, "mode", "timeout", "deliver_at", "delay")
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
	mode, err := single(q, "mode")
	if err != nil {
		return 0, err
	}
	switch {
	case mode == "independent", !q.Has("mode"):
		return autobus.Independent, nil
	case mode == "ordered":
		return autobus.Ordered, nil
	}
	return 0, autobus.NewError(autobus.ReasonModeInvalid, "there is no mode %q", clip(mode))
}

func publishTimeout(q url.Values) (time.Duration, *autobus.Error) {
	s, err := single(q, "timeout")
	if err != nil || !q.Has("timeout") {
		return defaultTimeout, err
	}
	d, bad := time.ParseDuration(s)
	if bad != nil || d <= 0 || d > maxTimeout {
		return 0, autobus.NewError(autobus.ReasonRequestInvalid, "timeout %q is not a duration above 0 and up to 60s",
			clip(s)).WithHint("Send it as 15s or 500ms.")
	}
	return d, nil
}

// start reads from: latest, earliest, an age such as -1h, or a time.
func start(s string, now time.Time) (autobus.Start, *autobus.Error) {
	switch s {
	case "", "latest":
		return autobus.Start{}, nil
	case "earliest":
		return autobus.Start{Earliest: true}, nil
	}
	if strings.HasPrefix(s, "-") {
		if d, err := time.ParseDuration(s); err == nil {
			return autobus.Start{Time: now.Add(d)}, nil
		}
	}
	// In a query a + that nobody escaped is a space; a time has no other.
	if t, err := time.Parse(time.RFC3339, strings.ReplaceAll(s, " ", "+")); err == nil && !t.IsZero() {
		return autobus.Start{Time: t}, nil
	}
	return autobus.Start{}, autobus.NewError(autobus.ReasonRequestInvalid, "from %q is no place to begin", clip(s)).
		WithHint("Use latest, earliest, an age such as -1h, or a time such as 2026-01-31T15:04:05Z.")
}

// clip keeps a stranger's string short enough for an error.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
