// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/ipc"
)

// ways are how a request comes to the bus. Each gives the reason why it is not answered, or fails the test.
type ways struct {
	url, token string
	caller     *ipc.Caller
}

func (w *ways) all() map[string]func(*testing.T, badRequest) autobus.Reason {
	return map[string]func(*testing.T, badRequest) autobus.Reason{"HTTP": w.byHTTP, "later": w.later,
		"JSON-RPC": w.byRPC, "WebSocket": w.bySocket, "Go": w.byGo, "CLI": w.byCLI}
}

// call makes a request of HTTP and reads its answer.
func (w *ways) call(t *testing.T, method, path, body string, h http.Header) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", "application/json")
	maps.Copy(req.Header, h)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

// reason reads a problem, which has to say what to do.
func reason(t *testing.T, text []byte) autobus.Reason {
	t.Helper()
	var p struct {
		Reason autobus.Reason `json:"reason"`
		Detail string         `json:"detail"`
		Hint   string         `json:"hint"`
	}
	if err := json.Unmarshal(text, &p); err != nil || p.Reason == "" || p.Detail == "" || p.Hint == "" {
		t.Errorf("%q does not say what is wrong and what to do: %v", text, err)
	}
	return p.Reason
}

func expiring(r badRequest) http.Header {
	if r.expiry == "" {
		return nil
	}
	return http.Header{"Ce-Expirytime": {r.expiry}}
}

func (w *ways) byHTTP(t *testing.T, r badRequest) autobus.Reason {
	_, text := w.call(t, http.MethodPost, "/v1/requests/"+r.typ+"?timeout=60s", r.data, expiring(r))
	return reason(t, text)
}

func (w *ways) later(t *testing.T, r badRequest) autobus.Reason {
	h := http.Header{"Prefer": {"respond-async"}}
	maps.Copy(h, expiring(r))
	resp, text := w.call(t, http.MethodPost, "/v1/requests/"+r.typ, r.data, h)
	for resp.StatusCode == http.StatusAccepted {
		resp, text = w.call(t, http.MethodGet, resp.Header.Get("Location")+"?wait=20s", "", nil)
	}
	return reason(t, text)
}

func (w *ways) byRPC(t *testing.T, r badRequest) autobus.Reason {
	if r.expiry != "" {
		return r.want // a call has none
	}
	_, text := w.call(t, http.MethodPost, "/v1/rpc?timeout=60s",
		fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, r.typ, r.data), nil)
	var answer struct {
		Error struct {
			Code int             `json:"code"`
			Data json.RawMessage `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	got := reason(t, answer.Error.Data)
	if r.typ == askedQuery+".reply" && answer.Error.Code == -32601 {
		return r.want // it is no method
	}
	return got
}

func (w *ways) byGo(t *testing.T, r badRequest) autobus.Reason {
	e := autobus.Event{Type: r.typ, Data: []byte(r.data)}
	if r.expiry != "" {
		e.SetExt(autobus.ExtExpiryTime, r.expiry)
	}
	_, err := w.caller.CallEvent(t.Context(), e)
	own, ok := errors.AsType[*autobus.Error](err)
	if !ok {
		t.Fatalf("it ended with %v", err)
	}
	return own.Reason
}

func (w *ways) byCLI(t *testing.T, r badRequest) autobus.Reason {
	args := []string{"request", r.typ, "-d", r.data, "--wait", "60s", "-o", "json", "--server", w.url, "--token", w.token}
	if r.expiry != "" {
		args = append(args, "-H", "expirytime="+r.expiry)
	}
	code, out, stderr := invoke(t, "", args...)
	if code == exitOK || out != "" {
		t.Errorf("exit status %d, %q", code, out)
	}
	return reason(t, []byte(stderr))
}

func (w *ways) bySocket(t *testing.T, r badRequest) autobus.Reason {
	s := w.dial(t)
	to := s.ask(t, `{"op":"inbox","seq":1}`, "inbox")["address"]
	var expiry string
	if r.expiry != "" {
		expiry = fmt.Sprintf(`,"expirytime":%q`, r.expiry)
	}
	result := s.publish(t, fmt.Sprintf(`{"specversion":"1.0","type":%q,"replyto":%q,"data":%s%s}`, r.typ, to, r.data,
		expiry))
	if result.Status == "refused" {
		return reason(t, result.Error)
	}
	var d []struct {
		Event struct {
			Error string          `json:"error"`
			Data  json.RawMessage `json:"data"`
		} `json:"event"`
	}
	text, _ := json.Marshal(s.await(t, "events")["deliveries"])
	if err := json.Unmarshal(text, &d); err != nil || len(d) != 1 || d[0].Event.Error != autobus.ErrorProblem {
		t.Fatalf("the reply is %s: %v", text, err)
	}
	return autobus.ReasonResponderFailed
}

// socket is a WebSocket of the API.
type socket struct {
	*websocket.Conn
	early *[]map[string]any // frames that came before they were waited for: a reply may overtake the answer to its request
}

func (w *ways) dial(t *testing.T) socket {
	t.Helper()
	c, resp, err := websocket.Dial(t.Context(), w.url+"/v1/ws", &websocket.DialOptions{
		Subprotocols: []string{"autobus.v1"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + w.token}}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(4 << 20)
	return socket{c, new([]map[string]any)}
}

// await gives the first frame of an operation that was not given yet.
func (s socket) await(t *testing.T, op string) map[string]any {
	t.Helper()
	for i, f := range *s.early {
		if f["op"] == op {
			*s.early = slices.Delete(*s.early, i, i+1)
			return f
		}
	}
	for {
		_, text, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var f map[string]any
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		switch f["op"] {
		case op:
			return f
		case "error":
			t.Fatalf("%s", text)
		default:
			*s.early = append(*s.early, f)
		}
	}
}

func (s socket) ask(t *testing.T, frame, op string) map[string]any {
	t.Helper()
	if err := s.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
	return s.await(t, op)
}

// published is what became of one event.
type published struct {
	Status string          `json:"status"`
	Error  json.RawMessage `json:"error"`
}

func (s socket) publish(t *testing.T, event string) published {
	t.Helper()
	f := s.ask(t, `{"op":"publish","seq":2,"events":[`+event+`]}`, "published")
	text, _ := json.Marshal(f["results"])
	var all []published
	if err := json.Unmarshal(text, &all); err != nil || len(all) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	return all[0]
}

func (w *ways) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: w.url, Token: w.token, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}
