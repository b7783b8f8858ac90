// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// conn is one connection.
type conn struct {
	edge   *Edge
	logger *slog.Logger
	r      *http.Request // the upgrade; its context ends when the token is revoked or the server's drain is over
	socket *websocket.Conn
	raw    *corked // what lies below, for a hard end
	frames bool    // the client speaks autobus.v1, else plain events
	text   func(raw []byte)
	binary func(raw []byte) // nil = binary frames are not taken

	ctx    context.Context //nolint:containedctx // of all that the connection does; its cause says how it ended
	cancel context.CancelCauseFunc
	who    *http.Request // as whom it acts now: the upgrade in a context with the principal; the reader's alone

	outcomes context.Context //nolint:containedctx // of publishes: it ends when the server cuts off
	outcome  context.Context //nolint:containedctx // the same with the principal; the reader's alone
	release  context.CancelFunc
	past     context.Context //nolint:containedctx // has ended

	out      outbox
	in       touching // what the reader reads
	intake   *edge.Intake
	head     []byte // buffer of the writer
	order    order
	inflight inflight
	subs     subscriptions
	work     sync.WaitGroup // subscriptions and publishes that are waited for

	ending   atomic.Pointer[ending] // set when this side closes
	over     chan struct{}          // closed when the connection below is
	hangOnce sync.Once

	start     time.Time
	heard     atomic.Int64 // when something of the client was read, since start
	busy      atomic.Bool  // a frame is being handled, so nothing is read
	writing   atomic.Bool  // a frame is being written, so no ping is
	drainOnce sync.Once
	draining  chan struct{} // closed when the instance is going down
}

// ending is how this side closes a connection.
type ending struct {
	code   websocket.StatusCode
	reason string
}

func newConn(e *Edge, r *http.Request, socket *websocket.Conn, raw *corked) *conn {
	c := &conn{edge: e, r: r, socket: socket, raw: raw, over: make(chan struct{}), start: time.Now(),
		draining: make(chan struct{}), out: newOutbox(), inflight: newInflight(edge.IntakeOf(r.Context())),
		logger: e.logger.With(slog.String("request_id", edge.RequestID(r.Context())))}
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(r.Context()))
	c.in.c = c
	c.intake = edge.IntakeOf(r.Context())
	c.who = r.WithContext(c.ctx)
	c.outcomes, c.release = edge.OutcomeContext(r.Context())
	c.outcome = c.outcomes
	c.inflight.wake = func() { c.overdue(false) }
	past, end := context.WithCancel(context.Background())
	end()
	c.past = past
	return c
}

// run serves the connection until it is over and nothing of it is left.
func (c *conn) run() {
	var side sync.WaitGroup
	side.Go(c.write)
	side.Go(c.ping)
	side.Go(c.watch)
	defer edge.OnDrain(c.r.Context(), c.drain)()

	stop := context.AfterFunc(c.outcomes, func() { c.overdue(true) })

	cause := c.read()
	c.cancel(cause)
	c.work.Wait()
	stop()
	c.release()
	c.inflight.stop()
	c.out.finish()
	if c.ending.Load() == nil {
		c.hangUp()
	}
	side.Wait()
	c.hangUp()
	_ = c.socket.CloseNow() // it is closed by now, one way or the other
	c.logger.Debug("websocket over", slog.Any("cause", context.Cause(c.ctx)))
}

var errRefused = errors.New("the frame was refused, the connection with it")

// read handles frames until the connection is over: nil after a goodbye of either side, else ErrReaderDied.
func (c *conn) read() error {
	var buf bytes.Buffer
	for {
		handle, err := c.next(&buf)
		if err != nil {
			return c.parting(err)
		}
		if c.ending.Load() != nil {
			continue // what comes after this side said goodbye counts no more
		}
		c.busy.Store(true)
		handle(buf.Bytes())
		c.touch()
		c.busy.Store(false)
		if buf.Cap() > maxUnread || !c.intake.Keep(buf.Cap()) {
			buf = bytes.Buffer{}
			_ = c.intake.Keep(0)
		}
	}
}

// relays reports whether the client is another instance, with workers of its own.
func (c *conn) relays() bool {
	who, _ := autobus.PrincipalOf(c.r.Context())
	return who.Via != ""
}

// parting is what the end of reading means: nothing after a goodbye of either side, and nothing when an instance that
// relays goes, because no worker died by that.
func (c *conn) parting(err error) error {
	if c.ending.Load() == nil && !c.relays() && websocket.CloseStatus(err) == -1 {
		return autobus.ErrReaderDied
	}
	return nil
}

// next reads a frame, and gives what does it.
func (c *conn) next(buf *bytes.Buffer) (handle func(raw []byte), err error) {
	buf.Reset()
	// The context is one without an end: the library would cut the connection when it ends.
	kind, r, err := c.socket.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	c.touch()
	handle = c.text
	if kind == websocket.MessageBinary {
		handle = c.binary
	}
	if handle == nil {
		c.fail(nil, autobus.NewError(autobus.ReasonFrameInvalid, "this subprotocol has no binary frames").
			WithHint("Send text frames with one event each."))
		return nil, errRefused
	}
	c.in.r, c.in.left = r, maxFrame+1
	if _, err := buf.ReadFrom(&c.in); err != nil {
		if full, ok := errors.AsType[*autobus.Error](err); ok {
			c.fail(nil, full)
			return nil, errRefused
		}
		return nil, err
	}
	if buf.Len() > maxFrame {
		c.fail(nil, autobus.NewError(autobus.ReasonBatchTooLarge, "the frame has more than %d bytes", maxFrame))
		return nil, errRefused
	}
	return handle, nil
}

// The library fills the whole of what it is given before it returns.
const (
	little = 16 << 10
	much   = 64 << 10
)

// touching reads up to left bytes of a frame and notes that the client is alive while a long one comes in.
type touching struct {
	c    *conn
	r    io.Reader
	left int
	fast bool
}

func (t *touching) Read(p []byte) (int, error) {
	if t.left == 0 {
		return 0, io.EOF
	}
	most := little
	if t.fast {
		most = much
	}
	began := time.Now()
	n, err := t.r.Read(p[:min(len(p), most, t.left)])
	t.left -= n
	t.fast = time.Since(began) < time.Second
	t.c.touch()
	if full := t.c.intake.Hold(maxFrame + 1 - t.left); full != nil {
		return n, full
	}
	return n, err
}

func (c *conn) touch() { c.heard.Store(int64(time.Since(c.start))) }

// close ends the connection from this side: what is in the outbox is sent, then a close frame.
func (c *conn) close(code websocket.StatusCode, reason string) {
	if !c.ending.CompareAndSwap(nil, &ending{code, reason}) {
		return
	}
	c.cancel(nil)
	c.out.finish()
	time.AfterFunc(closeTime, c.hangUp)
}

// fail ends the connection because of an error, which answers the frame with this seq, if any.
func (c *conn) fail(seq *int64, err *autobus.Error) {
	edge.LogCause(c.r, err)
	c.logger.Info("websocket closed", slog.String("reason", string(err.Reason)))
	c.out.push(c.appendError(nil, seq, "", nil, err))
	c.close(websocket.StatusCode(edge.CloseCode(err)), string(err.Reason))
}

// hangUp ends the connection at once.
func (c *conn) hangUp() {
	c.hangOnce.Do(func() {
		close(c.over)
		c.out.finish()
		_ = c.raw.Close() // whoever reads or writes finds out
	})
}
