// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// dial opens a connection below HTTP. It ends with ctx.
func (a *arena) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", a.addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	return c, c.SetDeadline(deadline)
}

// ending tells how a connection ends to which the program says nothing more: by its status line if there is one.
func ending(c net.Conn) string {
	answer, err := io.ReadAll(io.LimitReader(c, 64<<10))
	line, _, _ := bytes.Cut(answer, []byte("\r\n"))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "never"
	case len(line) > 0:
		return string(line)
	}
	return "closed"
}

// drip sends text byte by byte until the connection takes no more.
func drip(ctx context.Context, c net.Conn, text string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// slow opens a crowd of connections that send head at once and then text, byte by byte, for ever.
func (a *arena) slow(ctx context.Context, head, text string) map[string]int {
	return many(crowd, func(int) string {
		c, err := a.dial(ctx)
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		if _, err := c.Write([]byte(head)); err != nil {
			return "closed"
		}
		dripping, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			drip(dripping, c, text, 500*time.Millisecond)
		}()
		how := ending(c)
		stop()
		<-done
		return how
	})
}

// slowHeads: slowloris. Whoever does not come to the end of a head in 5 s is cut off.
func (a *arena) slowHeads(ctx context.Context, t *testing.T) {
	begun := time.Now()
	only(t, a.slow(ctx, "POST /v1/events HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n"), "closed", "HTTP/1.1 400 Bad Request")
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the last of them was cut off after %s", took)
	}
}

// slowBodies: a body has to bring 1 KiB a second.
func (a *arena) slowBodies(ctx context.Context, t *testing.T) {
	head := "POST /v1/events/" + typ + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + a.token["mallory"] +
		"\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
	only(t, a.slow(ctx, head, " "), "HTTP/1.1 400 Bad Request")
}

// headers: more than 32 KiB of them are not read on.
func (a *arena) headers(ctx context.Context, t *testing.T) {
	line := bytes.Repeat([]byte("x-a: b\r\n"), 100_000)
	long := append(append([]byte("x-a: "), bytes.Repeat([]byte("b"), 10<<20)...), "\r\n"...)
	only(t, many(40, func(i int) string {
		c, err := a.dial(ctx)
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		block := line
		if i%2 == 0 {
			block = long
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = c.Write(append([]byte("GET /v1/types HTTP/1.1\r\nHost: x\r\n"), block...)) // the answer says it all
		}()
		how := ending(c)
		_ = c.Close()
		<-sent
		return how
	}), "HTTP/1.1 431 Request Header Fields Too Large", "closed") // unread input can reset the answer away
}

// endless is a body that never ends.
type endless struct{ block []byte }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.block), nil }

// endlessBodies: each path has a limit, and all bodies together have one.
func (a *arena) endlessBodies(ctx context.Context, t *testing.T) {
	batch, lines := "application/cloudevents-batch+json", "application/x-ndjson"
	for _, c := range []struct {
		path, media string
		n           int
		reasons     []string
	}{
		{"/v1/events/" + typ, "application/json", 1, []string{"413 event_too_large"}},
		{"/v1/events", batch, 1, []string{"413 batch_too_large"}},
		{"/v1/subscriptions/x/acks", "application/json", 1, []string{"413 batch_too_large"}},
		{"/v1/events", batch, 300, []string{"413 batch_too_large", "503 capacity", "broken"}},
		{"/v1/events/" + typ, "application/json", 300, []string{"413 event_too_large", "503 capacity", "broken"}},
		// Lines have an end, or are cut off; what goes on by then the attacker gives up.
		{"/v1/events", lines, 100, []string{"413 event_too_large", "503 capacity", "broken"}},
	} {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		said := many(c.n, func(int) string {
			body := endless{bytes.Repeat([]byte("["), 64<<10)}
			r, err := a.ask(limited, a.client, "mallory", http.MethodPost, c.path, c.media, body)
			if err != nil {
				return "broken"
			}
			return r.said()
		})
		cancel()
		t.Logf("%d of %s: %v", c.n, c.media, said)
		only(t, said, c.reasons...)
	}
}
