// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// Query reads the parameters of a request. One that is not among known is refused rather than ignored: it stands for
// something the caller relies on.
func Query(r *http.Request, known ...string) (url.Values, *autobus.Error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "the query cannot be read: %v", err)
	}
	for name := range q {
		if slices.Contains(known, name) {
			continue
		}
		e := autobus.NewError(autobus.ReasonRequestInvalid, "there is no parameter %q", Clip(name))
		if near := autobus.Near(strings.ToLower(name), known, 1); len(near) > 0 {
			return nil, e.WithHint("Did you mean %s?", near[0])
		}
		if len(known) == 0 {
			return nil, e.WithHint("The path takes no parameters.")
		}
		return nil, e.WithHint("The parameters are %s.", strings.Join(known, ", "))
	}
	return q, nil
}

// Single gives the value of a parameter that may stand once.
func Single(q url.Values, name string) (string, *autobus.Error) {
	if len(q[name]) > 1 {
		return "", autobus.NewError(autobus.ReasonRequestInvalid, "the parameter %s stands %d times", name, len(q[name]))
	}
	return q.Get(name), nil
}

// TailOf reads what a tail is asked for from the parameters type, filter and from.
func TailOf(r *http.Request, now time.Time) (s autobus.Subscription, err *autobus.Error) {
	q, err := Query(r, "type", "filter", "from", "cursors")
	if err != nil {
		return s, err
	}
	for _, v := range q["type"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				s.Tail = append(s.Tail, name)
			}
		}
	}
	if len(s.Tail) == 0 {
		return s, autobus.NewError(autobus.ReasonRequestInvalid, "the parameter type is missing").
			WithHint("Name one or more types or patterns, such as type=orders.order.placed.v1 or type=orders.*.")
	}
	if s.Filter, err = Single(q, "filter"); err != nil {
		return s, err
	}
	from, err := Single(q, "from")
	if err != nil {
		return s, err
	}
	s.From, err = ParseFrom(from, now)
	return s, err
}

// ParseFrom reads where a tail begins: latest, earliest, an age such as -1h, a time, or cursors as JSON.
func ParseFrom(s string, now time.Time) (autobus.Start, *autobus.Error) {
	if strings.HasPrefix(s, "{") {
		var start autobus.Start
		return start, autobus.AsError(start.UnmarshalJSON([]byte(s)))
	}
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
	return autobus.Start{}, autobus.NewError(autobus.ReasonRequestInvalid, "from %q is no place to begin", Clip(s)).
		WithHint("Use latest, earliest, an age such as -1h, a time such as 2026-01-31T15:04:05Z, or cursors.")
}

// ParseMode reads the mode of a publish.
func ParseMode(s string) (autobus.Mode, *autobus.Error) {
	switch s {
	case "independent":
		return autobus.Independent, nil
	case "ordered":
		return autobus.Ordered, nil
	}
	return 0, autobus.NewError(autobus.ReasonModeInvalid, "there is no mode %q", Clip(s))
}

// JSONFault tells why JSON could not be read, without the names of Go's types.
func JSONFault(err error) string {
	if own, ok := errors.AsType[*autobus.Error](err); ok {
		return own.Detail
	}
	e, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return Clip(strings.TrimPrefix(err.Error(), "json: "))
	case e.Field != "":
		// What embeds the field has a name of Go's, which says nothing to a client.
		return fmt.Sprintf("%s cannot be a %s", Clip(strings.TrimPrefix(e.Field, "Policy.")), Clip(e.Value))
	}
	return fmt.Sprintf("it cannot be a %s", Clip(e.Value))
}

// Clip keeps a stranger's string short enough for an error.
func Clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
