// SPDX-License-Identifier: Apache-2.0

package client

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Times of a connection. The gateway pings every 20 s.
const (
	dialTime   = 10 * time.Second
	writeTime  = 10 * time.Second // of one frame
	quietTime  = 30 * time.Second // without a word of the gateway, after which it is asked for one
	pongTime   = 10 * time.Second
	answerTime = 25 * time.Second // of a publish; the gateway answers within 15 s
	guardEvery = 2 * time.Second
	leaveTime  = 5 * time.Second // of a goodbye
)

// conn is one WebSocket. It lives once: what comes after it is another one. One goroutine reads, one writes, one looks
// after it.
type conn struct {
	client *Client
	url    string
	socket *websocket.Conn
	raw    *gathered // what lies below
	hello  incoming
	born   time.Time
	side   bool // beside the main connection, for sessions that this one cannot have

	wake chan struct{} // holds a token when there is something to write

	mu       sync.Mutex
	seq      int64
	out      []*outgoing // to be written first
	acks     acks
	asked    map[int64]*attachment
	named    map[string]*attachment
	settling map[int64]*ackGroup
	leaving  bool  // the writer says goodbye when all is written
	lost     error // why it is over

	draining atomic.Bool
	deadline time.Time     // of the drain; set before drained is closed
	drained  chan struct{} // closed when the gateway said that it goes down
	broken   chan struct{} // closed when the connection is cut
	over     chan struct{} // closed when nothing reads or writes any more
	cutOnce  sync.Once

	heard   atomic.Int64 // when the gateway was heard last, since born
	busy    atomic.Bool  // a frame is being handled, so nothing is read
	writing atomic.Int64 // since when a frame is being written, since born; 0 = none is
}

func newConn(c *Client, url string) *conn {
	return &conn{client: c, url: url, born: time.Now(), wake: make(chan struct{}, 1), acks: newAcks(),
		asked: map[int64]*attachment{}, named: map[string]*attachment{}, settling: map[int64]*ackGroup{},
		drained: make(chan struct{}), broken: make(chan struct{}), over: make(chan struct{})}
}

// run serves the connection until it is over.
func (n *conn) run() {
	var loops sync.WaitGroup
	stop := make(chan struct{})
	loops.Go(n.read)
	loops.Go(n.write)
	guarded := make(chan struct{})
	go func() { defer close(guarded); n.guard(stop) }()
	loops.Wait()
	close(stop)
	<-guarded
	n.finish()
}

// cut ends the connection at once. The first reason is the one that is told.
func (n *conn) cut(why error) {
	n.cutOnce.Do(func() {
		n.mu.Lock()
		n.lost = why
		n.mu.Unlock()
		close(n.broken)
		n.signal()
		_ = n.socket.CloseNow() // whoever reads or writes finds out
	})
}

// goodbye ends it when what waits to be written has been.
func (n *conn) goodbye() {
	n.mu.Lock()
	n.leaving = true
	n.mu.Unlock()
	n.signal()
}

func (n *conn) alive() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost == nil && !n.leaving
}

// finish tells everybody who waits for an answer that none will come.
func (n *conn) finish() {
	n.mu.Lock()
	why := n.lost
	attached := make(map[*attachment]bool, len(n.asked))
	for _, a := range n.asked {
		attached[a] = true
	}
	settling := n.settling
	for i, g := range n.acks.take() {
		settling[-1-int64(i)] = g // never sent
	}
	n.asked, n.named, n.settling = nil, nil, nil
	n.mu.Unlock()
	lost := unreachable("the connection was lost: %v", why).WithCause(why)
	n.client.courier.lost(n)
	for _, g := range settling {
		g.failed(lost)
	}
	for a := range attached {
		a.sub.gone(a)
	}
	close(n.over)
}

func (n *conn) signal() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// send writes a frame that has no body, when it can.
func (n *conn) send(o *outgoing) {
	n.mu.Lock()
	n.out = append(n.out, o)
	n.mu.Unlock()
	n.signal()
}

// ask does the same under a new seq; what answers it goes to a.
func (n *conn) ask(o *outgoing, a *attachment) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asked == nil {
		return false
	}
	n.seq++
	o.Seq = n.seq
	n.asked[n.seq] = a
	n.out = append(n.out, o)
	n.signal()
	return true
}

// seat reserves a subscription's place, which one session of a name can have. Tails have a connection to themselves.
func (n *conn) seat(name string, a *attachment) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	limit := n.hello.Limits.Subscriptions
	if n.asked == nil || n.lost != nil || n.leaving || n.draining.Load() || n.named[name] != nil || n.named[""] != nil ||
		limit > 0 && len(n.named) >= limit {
		return false
	}
	n.named[name] = a
	return true
}

// unseat forgets an attachment. True: the connection has none left.
func (n *conn) unseat(a *attachment) (empty bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for seq, b := range n.asked {
		if a == b {
			delete(n.asked, seq)
		}
	}
	for name, b := range n.named {
		if a == b {
			delete(n.named, name)
		}
	}
	return len(n.named) == 0
}

func (n *conn) nextSeq() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seq++
	return n.seq
}
