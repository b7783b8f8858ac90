// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"
)

// counted is a connection that counts what is written to it.
type counted struct {
	bytes.Buffer
	writes int
	broken error
}

func (c *counted) Write(p []byte) (int, error) {
	if c.broken != nil {
		return 0, c.broken
	}
	c.writes++
	return c.Buffer.Write(p)
}

func (c *counted) Close() error { return nil }

func TestAFrameGoesInFewWrites(t *testing.T) {
	under := &counted{}
	g := &gathered{ReadWriteCloser: under}
	write := func(n int) {
		t.Helper()
		if k, err := g.Write(bytes.Repeat([]byte{byte(n)}, n)); k != n || err != nil {
			t.Fatal(k, err)
		}
	}
	write(1)
	if under.writes != 1 {
		t.Error("what is no frame waits")
	}
	g.begin()
	for range 25 {
		write(4 << 10)
	}
	write(2) // a pong
	if under.writes != 2 || under.Len() != 1+gatherBytes {
		t.Errorf("%d writes of %d bytes in the middle", under.writes, under.Len())
	}
	if err := g.end(); err != nil || under.writes != 3 || under.Len() != 1+25*(4<<10)+2 {
		t.Errorf("%d writes, %d bytes, %v", under.writes, under.Len(), err)
	}
	under.broken = io.ErrClosedPipe
	g.begin()
	write(10)
	if err := g.end(); !errors.Is(err, under.broken) {
		t.Errorf("the end of a frame that cannot be written: %v", err)
	}
}

// The library takes the connection from the answer; were it not found there, frames would go in pieces unseen.
func TestTheConnectionOfAWebSocketIsGathered(t *testing.T) {
	got := make(chan int, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		c.SetReadLimit(-1)
		_, raw, err := c.Read(r.Context())
		if err != nil {
			t.Error(err)
		}
		got <- len(raw)
		_ = c.CloseNow()
	}))
	defer srv.Close()
	up := &gathering{}
	c, _, err := websocket.Dial(context.Background(), srv.URL,
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: up}})
	if err != nil || up.conn == nil {
		t.Fatal(up.conn, err)
	}
	defer func() { _ = c.CloseNow() }()
	up.conn.begin()
	if err := c.Write(context.Background(), websocket.MessageBinary, make([]byte, 3*gatherBytes)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
		t.Fatal("the frame was there before its end")
	default:
	}
	if err := up.conn.end(); err != nil || <-got != 3*gatherBytes {
		t.Error(err)
	}
	srv.Client().CloseIdleConnections()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
