// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sums = "math.sum.make.v1"

// serve answers calls over a bus on which somebody makes sums.
func serve(t *testing.T) (url string, bus *autobustest.Bus) {
	t.Helper()
	bus = autobustest.New(t)
	bus.Subscription("calculator", autobus.Policy{Types: []string{sums}})
	callers := ipc.NewCallers(bus)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- callers.Run(ctx) }()
	go func() { done <- ipc.Serve(ctx, bus, "calculator", sum) }()
	t.Cleanup(func() { cancel(); <-done; <-done })

	mux := http.NewServeMux()
	New(Config{Bus: bus, Callers: callers, Newest: func(m string) (string, bool) {
		return sums, m == "math.sum.make"
	}}).Mount(mux)
	who := autobus.Principal{Name: "dev"}
	for _, v := range autobus.Verbs() {
		who.Grants = append(who.Grants, autobus.Grant{Verb: v, Pattern: "*"})
	}
	server := httptest.NewServer(edge.Handler(mux, edge.Options{Open: &who}))
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return server.URL + "/v1/rpc", bus
}

func sum(_ context.Context, r *ipc.Request) (any, error) {
	var terms []int
	switch err := json.Unmarshal(r.Data, &terms); {
	case err != nil:
		return nil, &ipc.Error{Name: "rejected", Data: map[string]any{"code": 7, "message": "no numbers", "data": "x"}}
	case len(terms) == 0:
		return nil, &ipc.Error{Name: "empty", Data: map[string]any{"why": "nothing"}}
	}
	n := 0
	for _, k := range terms {
		n += k
	}
	return n, nil
}

func post(t *testing.T, url, body string) (status int, answer string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(raw))
}

// The examples of the standard, and what it leaves to the server. want may be the beginning of the answer.
func TestCalls(t *testing.T) {
	url, bus := serve(t)
	const (
		parse   = `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"at byte `
		invalid = `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request","data":"`
		object  = invalid + `a call is an object"}}`
	)
	for name, c := range map[string]struct{ body, want string }{
		"by position": {`{"jsonrpc":"2.0","method":"math.sum.make.v1","params":[1,2],"id":1}`,
			`{"jsonrpc":"2.0","id":1,"result":3}`},
		"without a version": {`{"jsonrpc":"2.0","method":"math.sum.make","params":[2,2],"id":"a"}`,
			`{"jsonrpc":"2.0","id":"a","result":4}`},
		"id null": {`{"jsonrpc":"2.0","method":"math.sum.make","params":[2],"id":null}`,
			`{"jsonrpc":"2.0","id":null,"result":2}`},
		"an error of the responder": {`{"jsonrpc":"2.0","method":"math.sum.make","params":{},"id":2}`,
			`{"jsonrpc":"2.0","id":2,"error":{"code":7,"message":"no numbers","data":"x"}}`},
		"another error of it": {`{"jsonrpc":"2.0","method":"math.sum.make","params":[],"id":2}`,
			`{"jsonrpc":"2.0","id":2,"error":{"code":-32000,"message":"empty","data":{"why":"nothing"}}}`},
		"no params": {`{"jsonrpc":"2.0","method":"math.sum.make","id":2}`,
			`{"jsonrpc":"2.0","id":2,"error":{"code":7,`},
		"unreadable":       {`{"jsonrpc":"2.0","method":"foobar,"params":"bar","baz]`, parse + `36: `},
		"empty":            {``, parse + `0: unexpected end of JSON input"}}`},
		"unreadable batch": {`[{"jsonrpc":"2.0","method":"sum"},{"jsonrpc":"2.0","method"]`, parse + `60: `},
		"not UTF-8": {"{\"jsonrpc\":\"2.0\",\"method\":\"math.sum.make\",\"id\":\"\xff\"}",
			`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":"it is not UTF-8"}}`},
		"empty batch":    {`[]`, invalid + `the batch is empty"}}`},
		"no call":        {`1`, object},
		"no calls":       {`[1,2]`, `[` + object + `,` + object + `]`},
		"method is none": {`{"jsonrpc":"2.0","method":1,"params":"bar"}`, invalid + `the method is not text"}}`},
		"version is none": {`{"method":"math.sum.make","params":[],"id":3}`,
			`{"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"Invalid Request","data":"jsonrpc is not \"2.0\""}}`},
		"params are none": {`{"jsonrpc":"2.0","method":"math.sum.make","params":3,"id":3}`,
			`{"jsonrpc":"2.0","id":3,"error":{"code":-32600,`},
		"names are exact": {`{"JSONRPC":"2.0","Method":"math.sum.make","id":3}`,
			`{"jsonrpc":"2.0","id":3,"error":{"code":-32600,`},
		"id is an object": {`{"jsonrpc":"2.0","method":"math.sum.make","id":{}}`,
			invalid + `the id is neither text nor a number"}}`},
		"unknown method": {`{"jsonrpc":"2.0","method":"Foo","id":4}`,
			`{"jsonrpc":"2.0","id":4,"error":{"code":-32000,"message":"No subscription serves the type."`},
		"reserved method": {`{"jsonrpc":"2.0","method":"dlq.x.y.v1","id":4}`,
			`{"jsonrpc":"2.0","id":4,"error":{"code":-32601,"message":"Method not found","data":{"type":"/problems/type_res`},
		"replies as a method": {`{"jsonrpc":"2.0","method":"math.sum.make.v1.reply","id":4}`,
			`{"jsonrpc":"2.0","id":4,"error":{"code":-32601,`},
		"batch": {`[{"jsonrpc":"2.0","method":"math.sum.make","params":[1],"id":"1"},
			{"jsonrpc":"2.0","method":"math.sum.make","params":[7]},
			{"foo":"boo"},{"jsonrpc":"2.0","method":"math.sum.make","params":[2,3],"id":"2"}]`,
			`[{"jsonrpc":"2.0","id":"1","result":1},` + invalid +
				`jsonrpc is not \"2.0\""}},{"jsonrpc":"2.0","id":"2","result":5}]`},
		"too many": {`[` + strings.Repeat(`1,`, maxCalls) + `1]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,`},
	} {
		status, got := post(t, url, c.body)
		if ok := got == c.want || !strings.HasSuffix(c.want, "}") && !strings.HasSuffix(c.want, "]") &&
			strings.HasPrefix(got, c.want); !ok || status != http.StatusOK {
			t.Errorf("%s: %d\n got %s\nwant %s", name, status, got, c.want)
		}
	}
	before := len(bus.Published(sums))
	for _, body := range []string{`{"jsonrpc":"2.0","method":"math.sum.make","params":[1]}`,
		`[{"jsonrpc":"2.0","method":"math.sum.make","params":[1]},{"jsonrpc":"2.0","method":"dlq.x"}]`} {
		if status, got := post(t, url, body); status != http.StatusNoContent || got != "" {
			t.Errorf("notifications are answered %d %q", status, got)
		}
	}
	if n := len(bus.Published(sums)); n != before+2 {
		t.Errorf("two notifications made %d events", n-before)
	}
}

// One that is sent again under a UUID is not done again.
func TestUUIDsAreIDs(t *testing.T) {
	url, bus := serve(t)
	const body = `{"jsonrpc":"2.0","method":"math.sum.make","params":[1],"id":"0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"}`
	for range 2 {
		if _, got := post(t, url, body); !strings.HasSuffix(got, `"result":1}`) {
			t.Errorf("got %s", got)
		}
	}
	if n := len(bus.Published(sums)); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestWhatHTTPRefuses(t *testing.T) {
	url, _ := serve(t)
	for path, want := range map[string]int{"?timeout=0s": 400, "?timeout=61s": 400, "?wait=1s": 400} {
		if status, got := post(t, url+path, `{}`); status != want {
			t.Errorf("%s: %d %s", path, status, got)
		}
	}
	if status, got := post(t, url, strings.Repeat(" ", maxBody+1)); status != http.StatusRequestEntityTooLarge ||
		!strings.Contains(got, "at most 100 calls and 2000000 bytes") {
		t.Errorf("too large: %d %s", status, got)
	}
	resp, err := http.Post(url, "text/plain", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("text: %d", resp.StatusCode)
	}
}

func FuzzCalls(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","method":"a","id":1}`, `[]`, `[1,{"id":{}}]`, `{"params":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		calls, _, bad := split(body)
		if bad != nil {
			return
		}
		for _, raw := range calls {
			c, f := parse(raw)
			if answer := respond(nil, c.ID, nil, f); !json.Valid(answer) {
				t.Errorf("%q is answered by %q", raw, answer)
			}
		}
	})
}
