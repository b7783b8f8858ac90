// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// socket opens a WebSocket and takes its hello.
func (a *arena) socket(ctx context.Context, t *testing.T, who string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(ctx, "ws://"+a.addr+"/v1/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + a.token[who]}}, Subprotocols: []string{"autobus.v1"}})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	if _, hello, err := c.Read(ctx); err != nil || !strings.Contains(string(hello), `"hello"`) {
		t.Fatal(string(hello), err)
	}
	return c
}

// upgrade opens a WebSocket below the library, so that frames can be wrong, and reads its hello.
func (a *arena) upgrade(ctx context.Context, who string) (net.Conn, *bufio.Reader, error) {
	c, err := a.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	_, err = fmt.Fprintf(c, "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
		"Sec-WebSocket-Protocol: autobus.v1\r\nAuthorization: Bearer %s\r\n\r\n", a.token[who])
	in := bufio.NewReader(c)
	var status string
	if err == nil {
		status, err = in.ReadString('\n')
	}
	if err == nil && !strings.Contains(status, " 101 ") {
		err = fmt.Errorf("%s", strings.TrimSpace(status))
	}
	for line := ""; err == nil && line != "\r\n"; {
		line, err = in.ReadString('\n')
	}
	if err == nil {
		_, _, err = readFrame(in)
	}
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, in, nil
}

// Opcodes of RFC 6455.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	final          = 0x80
)

// head is that of a masked frame; the mask is nothing, so that what follows is sent as it is.
func head(first byte, size int) []byte {
	h := []byte{first, 0x80 | 127}
	h = binary.BigEndian.AppendUint64(h, uint64(size))
	return append(h, 0, 0, 0, 0)
}

// short is a whole frame of less than 126 bytes.
func short(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// readFrame reads a frame of the program.
func readFrame(in *bufio.Reader) (op byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1] & 0x7f)
	if n >= 126 {
		size := make([]byte, map[uint64]int{126: 2, 127: 8}[n])
		if _, err := io.ReadFull(in, size); err != nil {
			return 0, nil, err
		}
		n = 0
		for _, b := range size {
			n = n<<8 | uint64(b)
		}
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(in, payload)
	return h[0] & 0x0f, payload, err
}

// farewell reads until the connection ends, and tells the close code.
func farewell(in *bufio.Reader) string {
	for {
		op, payload, err := readFrame(in)
		if err != nil {
			return "cut"
		}
		if op == opClose && len(payload) >= 2 {
			return fmt.Sprint(binary.BigEndian.Uint16(payload))
		}
	}
}

// manySockets: a crowd of connections that do nothing but ping.
func (a *arena) manySockets(ctx context.Context, t *testing.T) {
	deadline := time.Now().Add(4 * time.Second)
	only(t, many(crowd, func(int) string {
		c, in, err := a.upgrade(ctx, "mallory")
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		tick := time.NewTicker(100 * time.Millisecond) // the crowd is the attack, not the pace
		defer tick.Stop()
		for ; time.Now().Before(deadline); <-tick.C {
			if _, err := c.Write(short(final|opPing, "x")); err != nil {
				return err.Error()
			}
			if _, _, err := readFrame(in); err != nil { // the pong
				return err.Error()
			}
		}
		return "served"
	}), "served")
}

// begunFrames: frames of 8 MiB that never come to their end lie in memory up to a bound, then the connection ends.
func (a *arena) begunFrames(ctx context.Context, t *testing.T) {
	most := make([]byte, 7<<20)
	held := make(chan struct{})
	time.AfterFunc(5*time.Second, func() { close(held) })
	count := many(100, func(int) string {
		c, in, err := a.upgrade(ctx, "mallory")
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		said := make(chan string, 1)
		go func() { said <- farewell(in) }()
		if _, err = c.Write(head(final|opText, 8<<20)); err == nil {
			_, err = c.Write(most)
		}
		if err == nil {
			select {
			case how := <-said:
				return how
			case <-held:
			}
			_ = c.Close()
			<-said
			return "held"
		}
		return <-said
	})
	only(t, count, "held", "4103", "cut") // unread input can reset the close frame away
	if count["held"] > 5 {
		t.Errorf("%d frames of 7 MiB were held, with room of 24 MiB", count["held"])
	}
}

// badFrames: what breaks the protocol of WebSockets or is too large ends the connection, what is no operation is
// answered by an error.
func (a *arena) badFrames(ctx context.Context, t *testing.T) {
	for name, c := range map[string]struct {
		send []byte
		want []string
	}{
		"too large":             {append(head(final|opText, 16<<20), make([]byte, 9<<20)...), []string{"4013", "cut"}},
		"a size of 2^62":        {append(head(final|opText, 1<<62), make([]byte, 9<<20)...), []string{"4013", "cut"}},
		"a negative size":       {append(head(final|opText, -1), make([]byte, 9<<20)...), []string{"4013", "1002", "cut"}},
		"an unknown opcode":     {short(final|3, "x"), []string{"1002", "cut"}},
		"reserved bits":         {short(final|0x70|opText, "x"), []string{"1002", "cut"}},
		"no mask":               {[]byte{final | opText, 1, 'x'}, []string{"1002", "cut"}},
		"a continuation alone":  {short(final|opContinuation, "x"), []string{"1002", "cut"}},
		"a long ping":           {append(head(final|opPing, 1000), make([]byte, 1000)...), []string{"1002", "cut"}},
		"a close of one byte":   {short(final|opClose, "x"), []string{"1002", "cut"}},
		"a close of a bad code": {short(final|opClose, "\x00\x01"), []string{"1002", "cut"}},
	} {
		said := many(2, func(int) string { // more of the large ones would have no room together
			conn, in, err := a.upgrade(ctx, "mallory")
			if err != nil {
				return err.Error()
			}
			defer conn.Close()
			how := make(chan string, 1)
			go func() { how <- farewell(in) }()
			_, _ = conn.Write(c.send) // it may be cut before all is sent
			return <-how
		})
		t.Logf("%s: %v", name, said)
		only(t, said, c.want...)
	}
	a.emptyPieces(ctx, t)
	c := a.socket(ctx, t, "mallory")
	for i := range 2000 {
		kind, text := websocket.MessageText, []string{"", "{}", "null", "[]", `{"op":7}`, `{"op":"x"}`, "\xff\xfe",
			`{"op":"publish"}`, `{"op":"ack","seq":1,"results":[]}`, `{"op":"subscribe","seq":1}`}[i%10]
		if i%3 == 0 {
			kind = websocket.MessageBinary
		}
		if err := c.Write(ctx, kind, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, raw, err := c.Read(ctx); err != nil || strings.Contains(string(raw), `"internal"`) {
			t.Fatalf("%q was answered by %s, %v", text, raw, err)
		}
	}
	_ = c.CloseNow()
}

// emptyPieces sends a message in pieces of nothing for a while: it holds its own connection only.
func (a *arena) emptyPieces(ctx context.Context, t *testing.T) {
	c, in, err := a.upgrade(ctx, "mallory")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pieces := short(opText, "")
	for range 10_000 {
		pieces = append(pieces, short(opContinuation, "")...)
	}
	for range 20 {
		if _, err := c.Write(pieces); err != nil {
			t.Fatal(err)
		}
		pieces = pieces[len(short(opText, "")):]
		pieces = append(short(opContinuation, ""), pieces...)
	}
	if _, err := c.Write(short(final|opContinuation, "x")); err != nil {
		t.Fatal(err)
	}
	if _, payload, err := readFrame(in); err != nil || !strings.Contains(string(payload), "frame_invalid") {
		t.Errorf("the message was answered by %s, %v", payload, err)
	}
}

// unreadAnswers: who publishes and does not read the answers is not read on, and ends as dead.
func (a *arena) unreadAnswers(ctx context.Context, t *testing.T) {
	frame := `{"op":"publish","seq":1,"events":[` + strings.Repeat(`{"type":"no.such.type.v1"},`, 400) + `{}]}`
	only(t, many(50, func(int) string {
		c, in, err := a.upgrade(ctx, "mallory")
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		block := append(head(final|opText, len(frame)), frame...)
		for begun := time.Now(); time.Since(begun) < 45*time.Second; {
			if _, err := c.Write(block); err != nil {
				return farewell(in)
			}
		}
		return "read on"
	}), "cut", "4103")
}
