// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// balancer hides gateways behind one address. Each connection goes to the next one that takes it, whatever it is for.
type balancer struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	targets []*gateway
	turn    int
	conns   map[net.Conn]struct{}
	closed  bool
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l, conns: map[net.Conn]struct{}{}}
	b.running.Go(b.accept)
	t.Cleanup(func() {
		_ = l.Close()
		b.mu.Lock()
		b.closed = true
		for c := range b.conns {
			_ = c.Close()
		}
		b.mu.Unlock()
		b.running.Wait()
	})
	return b
}

func (b *balancer) url() string { return "http://" + b.listener.Addr().String() }

// use says which gateways there are. Connections that are open stay.
func (b *balancer) use(gs ...*gateway) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = slices.Clone(gs) // the caller goes on with its own
}

func (b *balancer) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() { b.serve(c) })
	}
}

func (b *balancer) serve(near net.Conn) {
	defer near.Close()
	far := b.dial()
	if far == nil {
		return
	}
	defer far.Close()
	b.mu.Lock()
	b.conns[near], b.conns[far] = struct{}{}, struct{}{}
	if b.closed {
		_ = near.Close()
	}
	b.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			if half, ok := way[0].(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
	b.mu.Lock()
	delete(b.conns, near)
	delete(b.conns, far)
	b.mu.Unlock()
}

// dial finds a gateway that takes the connection; nil = there is none.
func (b *balancer) dial() net.Conn {
	b.mu.Lock()
	targets := append([]*gateway(nil), b.targets...)
	b.turn++
	turn := b.turn
	b.mu.Unlock()
	for i := range targets {
		g := targets[(turn+i)%len(targets)]
		if c, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://")); err == nil {
			return c
		}
	}
	return nil
}
