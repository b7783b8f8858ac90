// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

// incoming is a frame of the gateway. What it does not name is of a newer one, and nothing that this client relies on.
type incoming struct {
	Op           string          `json:"op"`
	Seq          *int64          `json:"seq"`
	Subscription string          `json:"subscription"`
	Results      []result        `json:"results"`
	Source       string          `json:"source"` // what the bus filled into a frame's events
	Time         time.Time       `json:"time"`
	Leases       []autobus.Lease `json:"leases"`
	Deadline     time.Time       `json:"deadline"`
	Type         string          `json:"type"`
	Partition    int32           `json:"partition"`
	From         int64           `json:"from"`
	To           int64           `json:"to"`
	Error        *problem        `json:"error"`
	Server       string          `json:"server"`
	Instance     string          `json:"instance"`
	Limits       limits          `json:"limits"`
	Address      autobus.Address `json:"address"` // of an inbox
	Features     []string        `json:"features"`
	autobus.TailPosition

	body []byte // what follows the header of a binary frame; the buffer it lies in is used again
}

// limits are what the gateway lets a connection do.
type limits struct {
	FrameBytes    int `json:"frame_bytes"`
	PublishFrames int `json:"publish_frames"`
	PublishBytes  int `json:"publish_bytes"`
	Subscriptions int `json:"subscriptions"`
	AckResults    int `json:"ack_results"`
}

// result is what became of one event, or of one outcome, where there is more to say than its number.
type result struct {
	Index  int       `json:"index"`
	Source string    `json:"source"`
	Time   time.Time `json:"time"`
	Hint   string    `json:"hint"`
	Status string    `json:"status"`
	Error  *problem  `json:"error"`

	Responders []string           `json:"responders"`
	Scheduled  *autobus.Scheduled `json:"scheduled"`
}

// problem is why something was refused.
type problem struct {
	Code       autobus.Code     `json:"code"`
	Reason     autobus.Reason   `json:"reason"`
	Detail     string           `json:"detail"`
	Hint       string           `json:"hint"`
	RetryAfter autobus.Duration `json:"retry_after"`
	Errors     []autobus.Fault  `json:"errors"`
}

func (p *problem) err() *autobus.Error {
	if p == nil || p.Reason == "" {
		return autobus.NewError(autobus.ReasonInternal, "the gateway refused it and gave no reason")
	}
	return &autobus.Error{Code: p.Code, Reason: p.Reason, Detail: p.Detail, Hint: p.Hint,
		RetryAfter: time.Duration(p.RetryAfter), Faults: p.Errors}
}

// outgoing is the header of a frame to the gateway.
type outgoing struct {
	Op           string              `json:"op"`
	Seq          int64               `json:"seq,omitempty"`
	Subscription string              `json:"subscription,omitempty"`
	Window       *autobus.Window     `json:"window,omitempty"`
	Create       *autobus.Policy     `json:"create,omitempty"`
	Types        []string            `json:"types,omitempty"`
	Filter       string              `json:"filter,omitempty"`
	Address      autobus.Address     `json:"address,omitempty"`
	From         json.RawMessage     `json:"from,omitempty"`
	Cursors      bool                `json:"cursors,omitempty"`
	Died         bool                `json:"died,omitempty"`
	Detached     bool                `json:"detached,omitempty"`
	Token        string              `json:"token,omitempty"`
	Mode         string              `json:"mode,omitempty"`
	Stream       *int64              `json:"stream,omitempty"`
	Lease        autobus.Lease       `json:"lease,omitempty"`
	Outcome      autobus.OutcomeKind `json:"outcome,omitempty"`
	Delay        autobus.Duration    `json:"delay,omitempty"`
	Reason       string              `json:"reason,omitempty"`
	*wire.Shared                     // of the events that follow
}

// append begins a binary frame with the header; its body follows.
func (o *outgoing) append(dst []byte) []byte {
	header, _ := json.Marshal(o) // it is made of what JSON can say
	return wire.AppendHeader(dst, header)
}

func unreachable(format string, args ...any) *autobus.Error {
	return autobus.NewError(autobus.ReasonServerUnreachable, format, args...).
		WithHint("Check the URL of the gateway and that it runs; the client connects again by itself.")
}

func closed() *autobus.Error {
	return autobus.NewError(autobus.ReasonShuttingDown, "the client was closed").
		WithHint("Make a new client; this one ends with its service.")
}

// permanent reports whether trying again cannot help: the request itself is wrong, or not allowed.
func permanent(err *autobus.Error) bool {
	if err.Reason == autobus.ReasonNotOwner {
		return true // told to instances, which look for another one
	}
	switch err.Code {
	case autobus.Internal, autobus.Unavailable, autobus.DeadlineExceeded, autobus.Aborted, autobus.ResourceExhausted:
		return false
	default:
		return !err.Retriable()
	}
}
