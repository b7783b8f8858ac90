// SPDX-License-Identifier: Apache-2.0

package ws

import "github.com/autobus-io/autobus"

// order is what ties the publishes of a connection: its own stream, and those that the client numbers because many
// callers share the connection. It is the reader's alone.
type order struct {
	own      autobus.Stream
	numbered map[int64]*autobus.Stream
}

// stream gives the one that a publish names; nil = the publish stands alone.
func (c *conn) stream(f frame) (*autobus.Stream, *autobus.Error) {
	var n *int64
	if err := f.get("stream", &n); err != nil {
		return nil, err
	}
	return c.order.of(n)
}

// of gives the stream of a number, which begins with the first publish that names it.
func (o *order) of(n *int64) (*autobus.Stream, *autobus.Error) {
	switch {
	case n == nil:
		return &o.own, nil
	case *n == 0:
		return nil, nil
	case *n < 0:
		return nil, invalid("the stream is %d", *n)
	}
	if s := o.numbered[*n]; s != nil {
		return s, nil
	}
	if len(o.numbered) >= maxStreams {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "this connection has %d streams already", maxStreams).
			WithHint("Say forget of those that are over.")
	}
	if o.numbered == nil {
		o.numbered = map[int64]*autobus.Stream{}
	}
	s := &autobus.Stream{}
	o.numbered[*n] = s
	return s, nil
}

// forget ends a stream: the next publish of its number begins another, which remembers no failures.
func (c *conn) forget(f frame) *autobus.Error {
	var n int64
	if err := f.get("stream", &n); err != nil {
		return err
	}
	if n <= 0 {
		return invalid("the stream is %d", n)
	}
	delete(c.order.numbered, n)
	return nil
}
