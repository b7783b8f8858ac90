// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bufio"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// offered is the subprotocol to speak with the client.
func offered(r *http.Request) (string, *autobus.Error) {
	var given []string
	for _, v := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(v, ",") {
			given = append(given, strings.TrimSpace(p))
		}
	}
	for _, p := range []string{protocolFrames, protocolEvents} {
		if slices.Contains(given, p) {
			return p, nil
		}
	}
	return "", autobus.NewError(autobus.ReasonRequestInvalid, "the request offers no subprotocol of this path").
		WithHint("Connect with a WebSocket client and offer the subprotocol %s.", protocolFrames)
}

// tailOf reads the tail that a client of plain events asks for in the query; nil = it asks for none.
func tailOf(r *http.Request, protocol string) (*autobus.Subscription, *autobus.Error) {
	if r.URL.RawQuery == "" {
		return nil, nil
	}
	if protocol != protocolEvents {
		_, err := edge.Query(r)
		return nil, err
	}
	s, err := edge.TailOf(r, time.Now())
	return &s, err
}

// accept takes the connection over. raw is what lies below, for a hard end.
func accept(w http.ResponseWriter, r *http.Request, protocol string) (*websocket.Conn, *corked, *autobus.Error) {
	up := &upgrade{ResponseWriter: w}
	socket, err := websocket.Accept(up, r, &websocket.AcceptOptions{
		Subprotocols: []string{protocol}, CompressionMode: websocket.CompressionDisabled,
	})
	if err == nil {
		socket.SetReadLimit(-1) // next has a limit of its own, which tells the client
		return socket, up.conn, nil
	}
	reason := autobus.ReasonRequestInvalid
	switch up.status {
	case http.StatusForbidden:
		reason = autobus.ReasonOriginForbidden
	case http.StatusNotImplemented:
		reason = autobus.ReasonUnimplemented // HTTP/2
	}
	return nil, nil, autobus.NewError(reason, "the connection cannot become a WebSocket: %s", err).
		WithHint("Connect with a WebSocket client over HTTP/1.1, from a page of this server if it is a browser.")
}

// upgrade keeps the library's plain text from becoming the answer of a refused upgrade.
type upgrade struct {
	http.ResponseWriter
	status int
	conn   *corked
}

func (u *upgrade) WriteHeader(status int) {
	u.status = status
	if status == http.StatusSwitchingProtocols {
		u.ResponseWriter.WriteHeader(status)
	}
}

func (u *upgrade) Write(p []byte) (int, error) { return len(p), nil }

// Hijack implements http.Hijacker.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	u.conn = &corked{Conn: conn}
	rw.Writer.Reset(u.conn)
	return u.conn, rw, nil
}
