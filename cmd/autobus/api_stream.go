// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/autobus-io/autobus"
)

// lines reads an answer that goes on, line by line, until f has enough, ctx ends or the bus ends it, which is an error.
// answer is how long the bus may take to begin; how long it is silent afterwards says nothing, since a type may have no
// traffic. begun, unless nil, is called once it began.
func (c *api) lines(
	ctx context.Context, path string, q url.Values, answer time.Duration, begun func(), f func(line []byte) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.AfterFunc(answer, cancel)
	resp, err := c.do(ctx, call{method: http.MethodGet, path: path, query: q})
	if !begin.Stop() {
		if err == nil {
			_ = resp.Body.Close() // nothing of it was read
		}
		return autobus.NewError(autobus.ReasonServerUnreachable, "%s did not begin to answer within %s", c.base, answer)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if begun != nil {
		begun()
	}
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := readLine(in)
		if err != nil {
			return autobus.NewError(autobus.ReasonServerUnreachable, "%s ended the stream: %s", c.base, err).
				WithHint("The bus went down or the connection broke. Run it again, --from a time to miss nothing.")
		}
		if err := f(line); err != nil {
			return err
		}
	}
}

// unreadable is a line that no bus of this version writes.
func unreadable(what string, err error) error {
	return autobus.NewError(autobus.ReasonServerUnreachable, "%s cannot be read: %s", what, err)
}
