// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// operation is what a client can ask for: the fields that its frame may have and those that it must have, beside op.
type operation struct {
	may, must []string
	run       func(*conn, frame) *autobus.Error
}

var operations = map[string]operation{
	"publish":     {[]string{"mode", "stream"}, []string{"seq", "events"}, (*conn).publish},
	"forget":      {[]string{"seq"}, []string{"stream"}, (*conn).forget},
	"subscribe":   {[]string{"window", "create"}, []string{"seq", "subscription"}, (*conn).subscribe},
	"window":      {[]string{"seq"}, []string{"subscription", "window"}, (*conn).window},
	"unsubscribe": {[]string{"subscription"}, []string{"seq"}, (*conn).unsubscribe},
	"ack":         {[]string{"seq"}, []string{"results"}, (*conn).ack},
	"tail":        {[]string{"filter", "from"}, []string{"seq", "types"}, (*conn).tail},
	"inbox":       {nil, []string{"seq"}, (*conn).inbox},
	"auth":        {[]string{"seq"}, []string{"token"}, (*conn).auth},
}

// frame is one text frame of a client.
type frame struct {
	op     string
	seq    *int64
	fields map[string]json.RawMessage // copies: the buffer below is used again
}

// dispatch does what a text frame asks. A bad frame is answered, the connection stays.
func (c *conn) dispatch(raw []byte) {
	f, err := parseFrame(raw)
	if err == nil {
		err = operations[f.op].run(c, f)
	}
	if err != nil {
		edge.LogCause(c.r, err)
		c.reply(c.appendError(nil, f.seq, "", nil, err))
	}
}

// parseFrame reads a frame as far as all operations have it in common. With an error it holds what could be read.
func parseFrame(raw []byte) (f frame, err *autobus.Error) {
	if err := json.Unmarshal(raw, &f.fields); err != nil {
		return f, invalid("the frame is not one JSON object: %s", edge.JSONFault(err))
	}
	if err := f.get("seq", &f.seq); err != nil {
		f.seq = nil
		return f, err
	}
	if err := f.get("op", &f.op); err != nil {
		return f, err
	}
	op, ok := operations[f.op]
	if !ok {
		known := slices.Sorted(maps.Keys(operations))
		return f, invalid("there is no op %q", edge.Clip(f.op)).WithHint("The operations are %s.", strings.Join(known, ", "))
	}
	for name := range f.fields {
		if name != "op" && !slices.Contains(op.must, name) && !slices.Contains(op.may, name) {
			return f, invalid("%s has no field %q", f.op, edge.Clip(name))
		}
	}
	for _, name := range op.must {
		if v, ok := f.fields[name]; !ok || string(v) == "null" {
			return f, invalid("%s needs the field %s", f.op, name)
		}
	}
	return f, nil
}

// get reads a field strictly; an absent one leaves v as it is.
func (f frame) get(name string, v any) *autobus.Error {
	raw, ok := f.fields[name]
	if !ok {
		return nil
	}
	err := autobus.StrictJSON(raw, v)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*autobus.Error](err); ok {
		return e
	}
	return invalid("the field %s cannot be read: %s", name, edge.JSONFault(err))
}

func invalid(format string, args ...any) *autobus.Error {
	return autobus.NewError(autobus.ReasonFrameInvalid, format, args...)
}

// reply waits for a client that does not take answers.
func (c *conn) reply(answer []byte) {
	// It fails when the connection is over; there is nobody to tell.
	_ = c.out.send(c.ctx, answer)
}

// appendHead begins a frame: op, and seq and subscription where they are known.
func appendHead(dst []byte, op string, seq *int64, subscription string) []byte {
	dst = append(dst, `{"op":"`...)
	dst = append(dst, op...)
	dst = append(dst, '"')
	if seq != nil {
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendInt(dst, *seq, 10)
	}
	if subscription != "" {
		dst = append(dst, `,"subscription":`...)
		dst = autobus.AppendString(dst, subscription)
	}
	return dst
}

// appendError appends {"op":"error"}: what it answers or is about, and the problem.
func (c *conn) appendError(
	dst []byte, seq *int64, subscription string, leases []autobus.Lease, err *autobus.Error,
) []byte {
	dst = appendHead(dst, "error", seq, subscription)
	if len(leases) > 0 {
		dst = edge.AppendLeases(append(dst, ','), leases)
	}
	dst = append(dst, `,"error":`...)
	dst = edge.AppendProblem(dst, err, edge.RequestID(c.r.Context()))
	return append(dst, '}')
}
