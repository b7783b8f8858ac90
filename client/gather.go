// SPDX-License-Identifier: Apache-2.0

package client

import (
	"io"
	"net/http"
	"sync"
)

// gatherBytes is about how much of a frame goes to the system at once.
const gatherBytes = 64 << 10

// gathered is the connection below the WebSocket. The library masks a frame in pieces of 4 KiB and writes each by
// itself; of a frame that put writes they are kept back and go together.
type gathered struct {
	io.ReadWriteCloser

	mu   sync.Mutex
	hold bool
	held []byte // not yet written
}

// begin says that the next writes are of one frame, until end.
func (g *gathered) begin() {
	g.mu.Lock()
	g.hold = true
	g.mu.Unlock()
}

// end writes what is left of it.
func (g *gathered) end() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = false
	return g.flush()
}

// Write implements io.Writer. A pong may come in between; it waits with the frame.
func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.hold {
		return g.ReadWriteCloser.Write(p)
	}
	if len(g.held)+len(p) > gatherBytes {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	g.held = append(g.held, p...)
	return len(p), nil
}

func (g *gathered) flush() error {
	if len(g.held) == 0 {
		return nil
	}
	_, err := g.ReadWriteCloser.Write(g.held)
	g.held = g.held[:0]
	return err
}

// gathering is a transport that gives the connection of an upgrade as a gathered one.
type gathering struct {
	next http.RoundTripper
	conn *gathered // set by the answer that changes the protocol
}

// RoundTrip implements http.RoundTripper.
func (g *gathering) RoundTrip(r *http.Request) (*http.Response, error) {
	next := g.next
	if next == nil {
		next = http.DefaultTransport
	}
	answer, err := next.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		return answer, err
	}
	if conn, ok := answer.Body.(io.ReadWriteCloser); ok { // the library looks for it, and says so if there is none
		g.conn = &gathered{ReadWriteCloser: conn}
		answer.Body = g.conn
	}
	return answer, nil
}
