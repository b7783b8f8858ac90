// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
)

const protocol = "autobus.v1"

// dial opens a connection to an address and hears its hello. A token that is refused is renewed once.
func (c *Client) dial(ctx context.Context, url string) (*conn, *autobus.Error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	for again := false; ; again = true {
		token, err := c.tokens.get(ctx)
		if err != nil {
			return nil, err
		}
		n, err := c.dialAs(ctx, url, token)
		if err == nil || err.Code != autobus.Unauthenticated || !c.tokens.refused(token) || again {
			return n, err
		}
	}
}

func (c *Client) dialAs(ctx context.Context, url, token string) (*conn, *autobus.Error) {
	header := http.Header{"User-Agent": {c.cfg.userAgent()}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	n := newConn(c, url)
	through := *c.cfg.HTTPClient
	up := &gathering{next: through.Transport}
	through.Transport = up
	//nolint:bodyclose // the library has read the body of a refusal, and keeps that of a connection
	socket, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient: &through, HTTPHeader: header, Subprotocols: []string{protocol},
		CompressionMode: websocket.CompressionDisabled,
		OnPingReceived:  func(context.Context, []byte) bool { n.touch(); return true },
	})
	if err != nil {
		return nil, refusal(answer, err)
	}
	if socket.Subprotocol() != protocol {
		_ = socket.CloseNow()
		return nil, unreachable("%s speaks WebSocket, but is no gateway of the bus", url)
	}
	socket.SetReadLimit(-1)
	n.socket, n.raw = socket, up.conn
	if err := n.greet(ctx); err != nil {
		_ = socket.CloseNow()
		return nil, unreachable("%s says no hello: %v", url, err).WithCause(err)
	}
	return n, nil
}

// refusal is why there is no connection.
func refusal(answer *http.Response, err error) *autobus.Error {
	if answer == nil {
		if dialed, ok := errors.AsType[*url.Error](err); ok {
			err = dialed // without what the library says around it
		}
		return unreachable("the gateway cannot be reached: %v", err).WithCause(err)
	}
	var p problem
	if json.NewDecoder(answer.Body).Decode(&p) == nil && p.Reason != "" {
		return p.err()
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return autobus.NewError(autobus.ReasonUnauthenticated, "the gateway answers %s", answer.Status)
	case http.StatusForbidden:
		return autobus.NewError(autobus.ReasonForbidden, "the gateway answers %s", answer.Status)
	}
	return unreachable("the gateway answers %s in place of a WebSocket", answer.Status).WithCause(err)
}
