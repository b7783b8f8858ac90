// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/coder/websocket"

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
	"subscribe":   {[]string{"window", "create", "detached"}, []string{"seq", "subscription"}, (*conn).subscribe},
	"window":      {[]string{"seq"}, []string{"subscription", "window"}, (*conn).window},
	"unsubscribe": {[]string{"subscription", "died"}, []string{"seq"}, (*conn).unsubscribe},
	"ack":         {[]string{"seq", "subscription"}, []string{"results"}, (*conn).ack},
	"inbox":       {[]string{"address", "from"}, []string{"seq"}, (*conn).inbox},
	"tail":        {[]string{"filter", "from", "cursors"}, []string{"seq", "types"}, (*conn).tail},
	"auth":        {[]string{"seq"}, []string{"token"}, (*conn).auth},
}

// frame is one frame of a client.
type frame struct {
	op     string
	seq    *int64
	fields map[string]json.RawMessage // copies: the buffer below is used again
	binary bool
	body   []byte // of a binary frame; a part of that buffer
	run    func(*conn, frame) *autobus.Error
}

// readText does what a text frame asks.
func (c *conn) readText(raw []byte) {
	var f frame
	err := f.parse(raw)
	if err == nil {
		err = f.run(c, f)
	}
	if err != nil {
		c.refuse(f.seq, err)
	}
}

// refuse answers a bad frame. The connection stays.
func (c *conn) refuse(seq *int64, err *autobus.Error) {
	edge.LogCause(c.r, err)
	c.reply(c.appendError(nil, seq, "", nil, err))
}

// parse reads a frame's object as far as all operations have it in common. With an error f holds what could be read.
func (f *frame) parse(raw []byte) *autobus.Error {
	if err := json.Unmarshal(raw, &f.fields); err != nil {
		return invalid("the frame is not one JSON object: %s", edge.JSONFault(err))
	}
	if err := f.get("seq", &f.seq); err != nil {
		f.seq = nil
		return err
	}
	if err := f.get("op", &f.op); err != nil {
		return err
	}
	op, ok := operations[f.op]
	if !ok {
		known := slices.Sorted(maps.Keys(operations))
		return invalid("there is no op %q", edge.Clip(f.op)).WithHint("The operations are %s.", strings.Join(known, ", "))
	}
	if with, ok := bodied[f.op]; ok && f.binary {
		op = with
	} else if len(f.body) > 0 {
		return invalid("%s has no body", f.op)
	}
	f.run = op.run
	for name := range f.fields {
		if name != "op" && !slices.Contains(op.must, name) && !slices.Contains(op.may, name) {
			return invalid("%s has no field %q", f.op, edge.Clip(name))
		}
	}
	for _, name := range op.must {
		if v, ok := f.fields[name]; !ok || string(v) == "null" {
			return invalid("%s needs the field %s", f.op, name)
		}
	}
	return nil
}

// get reads a field strictly; an absent one leaves v as it is.
func (f frame) get(name string, v any) *autobus.Error {
	raw, ok := f.fields[name]
	if !ok {
		return nil
	}
	if simple(raw, v) {
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

// simple reads plain strings and numbers, of which nearly every frame consists, for less than a decoder of JSON costs.
// False: it has to do it.
func simple(raw []byte, v any) bool {
	switch v := v.(type) {
	case *string:
		n := len(raw)
		if n < 2 || raw[0] != '"' || bytes.IndexByte(raw, '\\') >= 0 || !utf8.Valid(raw) {
			return false
		}
		*v = string(raw[1 : n-1])
		return true
	case **int64:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err == nil {
			*v = &n
		}
		return err == nil
	}
	return false
}

func invalid(format string, args ...any) *autobus.Error {
	return autobus.NewError(autobus.ReasonFrameInvalid, format, args...)
}

// reply waits for a client that does not take answers.
func (c *conn) reply(answer []byte) { c.replyAs(websocket.MessageText, answer) }

func (c *conn) replyAs(kind websocket.MessageType, answer []byte) {
	// It fails when the connection is over; there is nobody to tell.
	_ = c.out.sendAs(c.ctx, kind, answer)
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
