// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// overQuota: whoever may publish 100 events a second and hold 10 connections gets no more, by no protocol, and is told
// so each time.
func (a *arena) overQuota(ctx context.Context, t *testing.T) {
	event := `{"type":"` + typ + `","specversion":"1.0","source":"/limited","id":"%[1]d","data":{"key":"k%[1]d"}}`
	var written, refused, id atomic.Int64
	count := func(text string) {
		written.Add(int64(strings.Count(text, `"status":"written"`)))
		refused.Add(int64(strings.Count(text, `"reason":"quota"`)))
		if n := strings.Count(text, `"status":"refused"`) - strings.Count(text, `"reason":"quota"`) -
			strings.Count(text, `"reason":"predecessor_failed"`); n != 0 {
			t.Errorf("%d events were refused for something else: %.500s", n, text)
		}
	}
	next := func() string { return fmt.Sprintf(event, id.Add(1)) }
	begun := time.Now()
	deadline := begun.Add(leastTime)
	only(t, many(12, func(i int) string {
		switch i % 3 {
		case 0: // one by one
			for time.Now().Before(deadline) {
				r, err := a.ask(ctx, a.client, "limited", http.MethodPost, "/v1/events", "application/cloudevents+json",
					strings.NewReader(next()))
				if err != nil {
					return err.Error()
				}
				if r.status != 200 && (r.status != 429 || r.header.Get("Retry-After") != "1") {
					return fmt.Sprintf("%d Retry-After %q", r.status, r.header.Get("Retry-After"))
				}
				count(string(r.body))
			}
		case 1: // as a stream
			in, out := io.Pipe()
			go func() {
				for time.Now().Before(deadline) {
					_, _ = io.WriteString(out, next()+"\n") // the answer says it
				}
				_ = out.Close()
			}()
			r, err := a.ask(ctx, a.client, "limited", http.MethodPost, "/v1/events", "application/x-ndjson", in)
			_ = in.Close()
			if err != nil || r.status != 200 {
				return fmt.Sprint(err, r.status)
			}
			count(string(r.body))
		case 2: // by WebSocket
			c := a.socket(ctx, t, "limited")
			for time.Now().Before(deadline) {
				if err := c.Write(ctx, websocket.MessageText,
					[]byte(`{"op":"publish","seq":1,"stream":0,"events":[`+next()+`]}`)); err != nil {
					return err.Error()
				}
				_, raw, err := c.Read(ctx)
				if err != nil {
					return err.Error()
				}
				count(string(raw))
			}
			_ = c.CloseNow()
		}
		return "done"
	}), "done")
	most := int64(100*time.Since(begun).Seconds()) + 100
	t.Logf("figures: %d written of at most %d, %d refused by quota", written.Load(), most, refused.Load())
	if written.Load() > most || written.Load() < most/2 || refused.Load() == 0 {
		t.Errorf("%d written of at most %d, %d refused", written.Load(), most, refused.Load())
	}

	held := make(chan struct{})
	var opened, over atomic.Int64
	said := many(30, func(int) string {
		c, _, err := a.upgrade(ctx, "limited")
		if n := opened.Add(1); n == 30 {
			close(held)
		}
		<-held // nobody gives back before all have asked
		if err != nil {
			over.Add(1)
			return err.Error()
		}
		_ = c.Close()
		return "open"
	})
	only(t, said, "open", "HTTP/1.1 429 Too Many Requests")
	if said["open"] != 10 {
		t.Errorf("%d connections were open, not 10", said["open"])
	}
}
