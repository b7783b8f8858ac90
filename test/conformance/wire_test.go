// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
)

// The objects of the wire as a client writes and reads them. Nothing of it is shared with the edges, so that each holds
// the other to the protocol.

// problem is why something was refused.
type problem struct {
	Code   autobus.Code    `json:"code"`
	Reason autobus.Reason  `json:"reason"`
	Detail string          `json:"detail"`
	Hint   string          `json:"hint"`
	Errors []autobus.Fault `json:"errors"`
}

func (p *problem) err() *autobus.Error {
	if p == nil {
		return nil
	}
	return &autobus.Error{Code: p.Code, Reason: p.Reason, Detail: p.Detail, Hint: p.Hint, Faults: p.Errors}
}

// delivery is one event of a subscription, or of a tail, which has no lease.
type delivery struct {
	Lease       autobus.Lease   `json:"lease"`
	Attempt     int             `json:"attempt"`
	Fence       uint64          `json:"fence"`
	Deadline    time.Time       `json:"deadline"`
	Type        string          `json:"type"` // of a tail
	Partition   int32           `json:"partition"`
	Offset      int64           `json:"offset"`
	Unspecified bool            `json:"unspecified"`
	Key         *string         `json:"key"`
	KeyBase64   []byte          `json:"key_base64"`
	Event       json.RawMessage `json:"event"`
}

func (d *delivery) read() (autobus.Delivery, error) {
	e, bad := autobus.ParseEvent(d.Event)
	if bad != nil {
		return autobus.Delivery{}, bad
	}
	if d.Type != "" && d.Type != e.Type {
		return autobus.Delivery{}, fmt.Errorf("an event of %s comes as one of %s", e.Type, d.Type)
	}
	e.Key, e.Unspecified = d.KeyBase64, d.Unspecified
	if d.Key != nil {
		e.Key = []byte(*d.Key)
	}
	return autobus.Delivery{Event: e, Lease: d.Lease, Partition: d.Partition, Offset: d.Offset, Attempt: d.Attempt,
		Fence: d.Fence, Deadline: d.Deadline}, nil
}

func readDeliveries(in []delivery) ([]autobus.Delivery, error) {
	out := make([]autobus.Delivery, len(in))
	for i := range in {
		var err error
		if out[i], err = in[i].read(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// frame is what a server says of a subscription, and over a WebSocket besides.
type frame struct {
	Op           string          `json:"op"`
	Seq          *int64          `json:"seq"`
	Subscription string          `json:"subscription"`
	Deliveries   []delivery      `json:"deliveries"`
	Leases       []autobus.Lease `json:"leases"`
	Deadline     time.Time       `json:"deadline"`
	Type         string          `json:"type"`
	Partition    int32           `json:"partition"`
	From         int64           `json:"from"`
	To           int64           `json:"to"`
	Results      []result        `json:"-"` // of published
	Verdicts     []verdict       `json:"-"` // of acked
	Error        *problem        `json:"error"`
	Heartbeat    time.Time       `json:"heartbeat"` // without an op

	binary bool
	read   []autobus.Delivery // of a binary frame
	body   []byte             // of one that is no frame of deliveries
}

// tell hands a frame on to the reader of a subscription. The error ends it.
func (f *frame) tell(ctx context.Context, s *autobus.Subscription, h autobus.Handler) error {
	if f.Op != "error" && f.Op != "drain" && f.Subscription != s.Name {
		return fmt.Errorf("%s of the subscription %q comes to %q", f.Op, f.Subscription, s.Name)
	}
	switch f.Op {
	case "events":
		ds, err := readDeliveries(f.Deliveries)
		if f.binary {
			ds = f.read
		}
		if err == nil {
			h(ctx, ds)
		}
		return err
	case "revoke":
		if s.Revoke != nil {
			s.Revoke(f.Leases)
		}
	case "drain":
		if s.Draining != nil {
			s.Draining(f.Deadline)
		}
	case "position_lost":
		if s.Lost != nil {
			s.Lost(autobus.PositionLost{Type: f.Type, Partition: f.Partition, From: f.From, To: f.To})
		}
	case "error":
		return f.failure()
	default:
		return fmt.Errorf("there is no frame %q", f.Op)
	}
	return nil
}

// failure is what an error frame says.
func (f *frame) failure() error {
	if f.Error == nil {
		return fmt.Errorf("%s says no reason", f.Op)
	}
	return f.Error.err()
}

// result is what became of one event of a publish.
type result struct {
	Index     int       `json:"index"`
	ID        string    `json:"id"`
	Status    string    `json:"status"`
	Duplicate bool      `json:"duplicate"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Source    string    `json:"source"` // these two when the bus filled them in
	Time      time.Time `json:"time"`
	Hint      string    `json:"hint"`
	Error     *problem  `json:"error"`
}

// resolve settles a batch, which is open, by its results.
func resolve(b *autobus.Batch, results []result) {
	for i := range b.Events {
		r := autobus.Receipt{Status: autobus.Unknown}
		if i >= len(results) || results[i].Index != i {
			r.Err = autobus.NewError(autobus.ReasonInternal, "the answer has no result %d in its place", i)
			b.Resolve(i, r)
			continue
		}
		b.Resolve(i, results[i].receipt(&b.Events[i]))
	}
}

// receipt is what the result says; what the bus filled in goes into the event.
func (in *result) receipt(e *autobus.Event) autobus.Receipt {
	r := autobus.Receipt{Status: autobus.Unknown, Duplicate: in.Duplicate, Partition: in.Partition, Offset: in.Offset,
		Err: in.Error.err(), Hint: in.Hint}
	statuses := []autobus.Status{autobus.Written, autobus.Refused, autobus.Unknown}
	if at := slices.IndexFunc(statuses, func(s autobus.Status) bool { return s.String() == in.Status }); at >= 0 {
		r.Status = statuses[at]
	} else {
		r.Err = autobus.NewError(autobus.ReasonInternal, "there is no status %q", in.Status)
	}
	if e.ID == "" {
		e.ID = in.ID
	}
	if e.Source == "" {
		e.Source = in.Source
	}
	if e.Time.IsZero() {
		e.Time = in.Time
	}
	return r
}

// lose settles a batch, which is open, when no answer came.
func lose(b *autobus.Batch, why error) {
	for i := range b.Events {
		b.Resolve(i, autobus.Receipt{Status: autobus.Unknown, Err: autobus.NewError(autobus.ReasonOutcomeUnknown,
			"the connection was lost before the answer came: %v", why)})
	}
}

func modeWord(m autobus.Mode) string {
	switch m {
	case autobus.Independent:
		return "independent"
	case autobus.Ordered:
		return "ordered"
	}
	return fmt.Sprintf("mode-%d", m)
}

// appendEvents appends a JSON array of whole CloudEvents.
func appendEvents(dst []byte, events []autobus.Event) []byte {
	dst = append(dst, '[')
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendEvent(dst, events[i])
	}
	return append(dst, ']')
}

// appendEvent puts data into the JSON as it is wherever that keeps each byte of it.
func appendEvent(dst []byte, e autobus.Event) []byte {
	data := e.Data
	e.Data = nil
	dst = autobus.AppendEvent(dst, &e)
	dst = dst[:len(dst)-1]
	space := func(c byte) bool { return slices.Contains([]byte(" \t\r\n"), c) }
	switch {
	case data == nil:
	case e.IsJSON() && json.Valid(data) && utf8.Valid(data) && !space(data[0]) && !space(data[len(data)-1]):
		dst = append(append(dst, `,"data":`...), data...)
	default:
		dst = base64.StdEncoding.AppendEncode(append(dst, `,"data_base64":"`...), data)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// ack is an outcome as a client tells it.
type ack struct {
	Lease   autobus.Lease       `json:"lease"`
	Outcome autobus.OutcomeKind `json:"outcome"`
	Delay   autobus.Duration    `json:"delay,omitzero"`
	Reason  string              `json:"reason,omitempty"`
}

func ackOf(s *autobus.Settlement) ack {
	return ack{s.Lease, s.Outcome.Kind, autobus.Duration(s.Outcome.Delay), s.Outcome.Reason}
}

// verdict is what became of one outcome.
type verdict struct {
	Index  int           `json:"index"` // over a WebSocket, where it did not count
	Lease  autobus.Lease `json:"lease"`
	Status string        `json:"status"`
	Error  *problem      `json:"error"`
}

// read gives why it did not count; nil = it did.
func (v *verdict) read() (*autobus.Error, error) {
	switch {
	case (v.Status == "invalid" || v.Status == "failed") == (v.Error == nil):
		return nil, fmt.Errorf("%q comes with the reason %v", v.Status, v.Error)
	case v.Status == "ok":
		return nil, nil
	case v.Status == "stale":
		return autobus.NewError(autobus.ReasonLeaseStale, "the answer says so"), nil
	case v.Status == "unknown":
		return autobus.NewError(autobus.ReasonLeaseUnknown, "the answer says so"), nil
	case v.Error != nil:
		return v.Error.err(), nil
	}
	return nil, fmt.Errorf("there is no status %q", v.Status)
}

// wellFormed refuses a subscription that no protocol has words for, as every client of the bus has to.
func wellFormed(s *autobus.Subscription) error {
	switch {
	case (s.Name == "") == (len(s.Tail) == 0):
		return autobus.NewError(autobus.ReasonRequestInvalid, "a subscription has a name or types to tail")
	case s.Name != "" && s.Filter != "":
		return autobus.NewError(autobus.ReasonRequestInvalid, "a subscription has its own filter")
	}
	return nil
}

// fromWord is where a tail begins.
func fromWord(s autobus.Start) string {
	switch {
	case !s.Time.IsZero():
		return s.Time.Format(time.RFC3339Nano)
	case s.Earliest:
		return "earliest"
	}
	return "latest"
}

func unreachable(err error) *autobus.Error {
	return autobus.NewError(autobus.ReasonServerUnreachable, "the connection was lost: %v", err).WithCause(err)
}
