// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// gzipBomb is 1 MiB that becomes 1 GiB.
func gzipBomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 64 { // some hundred KiB; the rest are copies of it, for gzip is made of members
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(b.Bytes(), 16)
}

// zstdBomb is 32 KiB that become 1 GiB: blocks that repeat a byte 128 Ki times.
func zstdBomb() []byte {
	frame := []byte{0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x68} // magic, descriptor, a window of 8 MiB
	const size = 128 << 10
	for i := range 8192 {
		block := size<<3 | 1<<1
		if i == 8191 {
			block |= 1
		}
		frame = append(frame, byte(block), byte(block>>8), byte(block>>16), ' ')
	}
	return frame
}

// bombs: compressed bodies are not taken, so that there is nothing to unpack.
func (a *arena) bombs(ctx context.Context, t *testing.T) {
	bombs := map[string][]byte{"gzip": gzipBomb(t), "zstd": zstdBomb(), "deflate": zstdBomb(), "br": zstdBomb(),
		"gzip, zstd": gzipBomb(t)}
	for _, path := range []string{"/v1/events", "/v1/events/" + typ} {
		for _, media := range []string{"application/json", "application/cloudevents-batch+json", "application/x-ndjson"} {
			for encoding, bomb := range bombs {
				only(t, many(8, func(int) string {
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+path, bytes.NewReader(bomb))
					if err != nil {
						return err.Error()
					}
					req.Header.Set("Authorization", "Bearer "+a.token["mallory"])
					req.Header.Set("Content-Type", media)
					req.Header.Set("Content-Encoding", encoding)
					resp, err := a.client.Do(req)
					if err != nil {
						return "broken"
					}
					defer resp.Body.Close()
					_, _ = io.Copy(io.Discard, resp.Body) // the status says it
					return resp.Status
				}), "415 Unsupported Media Type", "broken")
			}
		}
	}
}

// deepJSON: nothing nests deeper than 64, wherever it stands.
func (a *arena) deepJSON(ctx context.Context, t *testing.T) {
	const depth = 100_000
	deep := strings.Repeat("[", depth) + strings.Repeat("]", depth)
	objects := strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
	event := `{"specversion":"1.0","id":"1","source":"/x","type":"` + typ + `","data":` + deep + `}`
	for _, c := range []struct{ method, path, media, body, want string }{
		{"POST", "/v1/events/" + typ, "application/json", deep, "400 body_unreadable"},
		{"POST", "/v1/events/" + typ, "application/json", objects, "400 body_unreadable"},
		{"POST", "/v1/events", "application/cloudevents+json", event, ""},
		{"POST", "/v1/events", "application/cloudevents+json", deep, ""},
		{"POST", "/v1/events", "application/cloudevents-batch+json", "[" + event + "]", ""},
		{"POST", "/v1/events", "application/cloudevents-batch+json", deep, ""},
		{"POST", "/v1/subscriptions/x/acks", "application/json", deep, ""},
		{"POST", "/v1/subscriptions/x/acks", "application/json", `{"results":` + deep + `}`, ""},
		{"PUT", "/v1/subscriptions/x", "application/json", `{"types":` + deep[depth-1000:depth+1000] + `}`, ""},
		{"GET", "/v1/tail?type=*&filter=" + url.QueryEscape(strings.Repeat("(", 4000)), "", "", "400 filter_invalid"},
	} {
		r, err := a.ask(ctx, a.client, "mallory", c.method, c.path, c.media, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if r.status < 400 || r.status > 499 || c.want != "" && r.said() != c.want {
			t.Errorf("%s %.40s as %s: %d %.300s, want %s", c.method, c.path, c.media, r.status, r.body, c.want)
		}
	}
	r, err := a.ask(ctx, a.client, "mallory", http.MethodPost, "/v1/events", "application/x-ndjson",
		strings.NewReader(event+"\n"+deep+"\n"+objects+"\n"))
	if err != nil || r.status != http.StatusOK || strings.Count(string(r.body), `"status":"refused"`) != 3 {
		t.Errorf("as lines: %v, %d %.300s", err, r.status, r.body)
	}
	c := a.socket(ctx, t, "mallory")
	for _, frame := range []string{deep, objects, `{"op":"publish","seq":1,"events":` + deep + `}`,
		`{"op":"publish","seq":1,"events":[` + event + `]}`, `{"op":"ack","seq":1,"results":` + deep + `}`,
		`{"op":"subscribe","seq":1,"subscription":"x","create":` + objects + `}`} {
		if err := c.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		_, raw, err := c.Read(ctx)
		if err != nil || !strings.Contains(string(raw), `"error":{`) || strings.Contains(string(raw), `"internal"`) {
			t.Errorf("%.60s was answered by %.300s, %v", frame, raw, err)
		}
	}
	_ = c.CloseNow()
}
