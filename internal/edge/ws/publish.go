// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// publish appends the events of a frame before the next frame is read; the answer comes when all are settled.
func (c *conn) publish(f frame) *autobus.Error {
	mode := autobus.Independent
	if f.fields["mode"] != nil {
		var word string
		err := f.get("mode", &word)
		if err == nil {
			mode, err = edge.ParseMode(word)
		}
		if err != nil {
			return err
		}
	}
	raw := f.fields["events"]
	elements, err := autobus.SplitBatch(raw)
	if err != nil {
		return err
	}
	stream, err := c.stream(f)
	if err != nil {
		return err
	}
	if !c.inflight.enter(len(raw), c.over) {
		return nil // there is nobody to answer
	}
	p := edge.NewParcel(c.who, mode, stream, 0)
	for _, e := range elements {
		p.Add(autobus.ParseEvent(e))
	}
	return c.send(f.seq, p, len(raw))
}

// publishOne publishes a text frame that is one structured event.
func (c *conn) publishOne(raw []byte) {
	if !json.Valid(raw) {
		c.reply(c.appendError(nil, nil, "", nil, invalid("the frame is not one event in JSON")))
		return
	}
	if !c.inflight.enter(len(raw), c.over) {
		return
	}
	p := edge.NewParcel(c.who, autobus.Independent, &c.order.own, 0)
	p.Add(autobus.ParseEvent(bytes.Clone(raw)))
	if err := c.send(nil, p, len(raw)); err != nil {
		c.reply(c.appendError(nil, nil, "", nil, err))
	}
}

// send appends a parcel and has its outcome waited for. With an error nothing of it was looked at: it is of the wrong
// form, or this instance takes no more events at all, so that nothing after it can overtake it.
func (c *conn) send(seq *int64, p *edge.Parcel, size int) *autobus.Error {
	if err := p.Publish(c.edge.bus, publishTime); err != nil {
		p.Cancel()
		c.inflight.leave(size)
		return err
	}
	c.work.Go(func() {
		defer c.inflight.leave(size)
		answer := append(appendHead(nil, "published", seq, ""), `,"results":`...)
		answer = p.AppendResults(answer, p.Wait())
		// While answers are not taken the frame counts as in flight, so that no more are read.
		_ = c.out.send(c.ctx, append(answer, '}'))
	})
	return nil
}

// inflight bounds what was published and is not answered.
type inflight struct {
	mu     sync.Mutex
	frames int
	bytes  int
	left   chan struct{} // holds a token when something left
}

func newInflight() inflight { return inflight{left: make(chan struct{}, 1)} }

// enter waits for room for a frame; false = the connection is over. For one reader.
func (f *inflight) enter(size int, over <-chan struct{}) bool {
	for {
		f.mu.Lock()
		if f.frames == 0 || f.frames < maxPublishes && f.bytes+size <= maxPublishBytes {
			f.frames++
			f.bytes += size
			f.mu.Unlock()
			return true
		}
		f.mu.Unlock()
		select {
		case <-f.left:
		case <-over:
			return false
		}
	}
}

func (f *inflight) leave(size int) {
	f.mu.Lock()
	f.frames--
	f.bytes -= size
	f.mu.Unlock()
	select {
	case f.left <- struct{}{}:
	default:
	}
}

func (f *inflight) none() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frames == 0
}
