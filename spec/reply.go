// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// Reply is one message by which a request may be answered. It is immutable.
type Reply struct {
	Name  string // its key among the channel's messages; what an error's attribute error says
	Title string // its name, which may stand there instead; "" = it has none
	Error bool   // x-error: true

	Type *Type // its schema and content type; no topic
}

// mediaProblem is the content type of a problem (RFC 9457).
const mediaProblem = "application/problem+json"

// CheckDeadline refuses a request whose deadline (autobus.ExtExpiryTime) cannot be read, ReasonEventInvalid, or is over
// at now, ReasonDeadlinePassed. One without a deadline is in time.
func CheckDeadline(request *autobus.Event, now time.Time) *autobus.Error {
	s, has := request.Ext(autobus.ExtExpiryTime)
	switch {
	case !has:
		return nil
	case request.Expiry().IsZero():
		return autobus.NewError(autobus.ReasonEventInvalid, "the extension %s is no time", autobus.ExtExpiryTime).
			WithHint("Write it as 2026-01-31T15:04:05Z.")
	case request.Expired(now):
		return autobus.NewError(autobus.ReasonDeadlinePassed, "the deadline %s is over", s)
	}
	return nil
}

// CheckReply holds a reply against the limits and the messages that the type of the request declares. t is nil where no
// spec declares the request. An error that names no message is ReasonEventInvalid; so is any reply to a type that
// declares none. A problem (autobus.ErrorProblem) may always be the answer.
func CheckReply(t *Type, e *autobus.Event) *autobus.Error {
	name, failed := e.Ext(autobus.ExtError)
	if failed && name == autobus.ErrorProblem {
		return checkProblem(e)
	}
	if t == nil {
		return CheckEvent(nil, e, autobus.MaxEventBytes)
	}
	if len(t.Replies) == 0 {
		return autobus.NewError(autobus.ReasonEventInvalid, "%s declares no reply", t.Name).
			WithHint("Add a channel %s.reply and operations.*.reply to its spec.", t.Name)
	}
	var first *autobus.Error
	var known []string
	for _, r := range t.Replies {
		if r.Error != failed {
			continue
		}
		known = append(known, r.Name)
		if failed && r.Name != name && r.Title != name {
			continue
		}
		err := CheckEvent(r.Type, e, r.Type.MaxEventBytes)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return first
	}
	err := autobus.NewError(autobus.ReasonEventInvalid, "%s declares no such reply", t.Name)
	if failed {
		err.Detail = "no reply of " + t.Name + " is an error of that name"
	}
	if len(known) > 0 {
		slices.Sort(known)
		return err.WithHint("It declares %s.", strings.Join(known, ", "))
	}
	return err
}

// checkProblem takes a problem, whatever the spec says.
func checkProblem(e *autobus.Event) *autobus.Error {
	if err := CheckEvent(nil, e, autobus.MaxEventBytes); err != nil {
		return err
	}
	var p struct {
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}
	if !sameMedia(mediaProblem, e.ContentType) || json.Unmarshal(e.Data, &p) != nil || p.Reason == "" {
		return autobus.NewError(autobus.ReasonEventInvalid, "a reply with the error %q is a problem with a reason",
			autobus.ErrorProblem).WithHint("Send content type %s with the fields reason and detail.", mediaProblem)
	}
	return nil
}
