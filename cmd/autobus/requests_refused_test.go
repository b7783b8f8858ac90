// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/ipc"
	"github.com/autobus-io/autobus/spec"
)

// Types of the requests that are refused here: a query that somebody answers, one that nobody does, a command.
const (
	askedQuery   = "shop.quote.price.v1"
	askedNobody  = "shop.quote.nobody.v1"
	askedCommand = "shop.seat.book.v1"
)

func askedSpecs() spec.Files {
	const text = `
asyncapi: 3.1.0
info: {title: TITLE, version: 1.0.0, tags: [{name: 'kind:KIND'}]}
channels:
  request:
    address: TITLE.v1
    messages: {it: {payload: {type: object, required: [n], properties: {n: {type: integer}}}}}
  reply:
    address: TITLE.v1.reply
    messages: {it: {payload: {type: object, properties: {n: {type: integer}, text: {type: string}}}}}
`
	files := spec.Files{}
	for typ, kind := range map[string]string{askedQuery: "query", askedNobody: "query", askedCommand: "command"} {
		files["events/"+typ+".yaml"] = []byte(strings.NewReplacer("TITLE", strings.TrimSuffix(typ, ".v1"), "KIND",
			kind).Replace(text))
	}
	return files
}

// badRequest is one that cannot be answered.
type badRequest struct {
	typ, data string
	expiry    string // ce-expirytime; "" = the usual
	want      autobus.Reason
}

var badRequests = map[string]badRequest{
	"unknown type":         {typ: "shop.quote.cost.v1", data: `{"n":1}`, want: autobus.ReasonTypeUnknown},
	"nobody serves it":     {typ: askedNobody, data: `{"n":1}`, want: autobus.ReasonNoResponder},
	"data is not as said":  {typ: askedQuery, data: `{"n":"x"}`, want: autobus.ReasonDataInvalid},
	"names replies":        {typ: askedQuery + ".reply", data: `{"n":1}`, want: autobus.ReasonTypeInvalid},
	"reply too large":      {typ: askedQuery, data: `{"n":1000}`, want: autobus.ReasonResponderFailed},
	"reply is not as said": {typ: askedQuery, data: `{"n":2}`, want: autobus.ReasonResponderFailed},
	"deadline is over": {typ: askedQuery, data: `{"n":1}`, expiry: "2020-01-01T00:00:00Z",
		want: autobus.ReasonDeadlinePassed},
	"deadline is no time": {typ: askedQuery, data: `{"n":1}`, expiry: "soon", want: autobus.ReasonEventInvalid},
}

// respondBadly answers as badRequests want it.
func respondBadly(_ context.Context, r *ipc.Request) (any, error) {
	switch string(r.Data) {
	case `{"n":1000}`:
		return map[string]string{"text": strings.Repeat("x", autobus.MaxEventBytes+1)}, nil
	case `{"n":2}`:
		return map[string]string{"n": "two"}, nil
	}
	return ipc.Raw{Data: r.Data}, nil
}

// asking starts an instance in the manner of serve, with one service, and gives the ways to it for a principal.
func asking(t *testing.T) (as func(principal string) *ways) {
	t.Helper()
	s := testSettings(t)
	s.builtin, s.dev = askedSpecs(), false
	in := startInstance(t, s)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	as = func(principal string) *ways {
		var grants []autobus.Grant
		for _, v := range autobus.Verbs() {
			grants = append(grants, autobus.Grant{Verb: v, Pattern: "*"})
		}
		token, _, err := in.tokens.Create(t.Context(), principal, grants, "test")
		if err != nil {
			t.Fatal(err)
		}
		w := &ways{url: in.url(), token: token}
		caller, err := ipc.Open(t.Context(), w.client(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(caller.Close)
		w.caller = caller
		return w
	}
	bus := as("pricing").client(t)
	ready, ended := make(chan struct{}), make(chan error, 1)
	w := autobus.Worker{Bus: bus, Subscription: "pricing", Create: &autobus.Policy{Types: []string{askedQuery}},
		Handle: ipc.Answer(bus, "pricing", respondBadly), Logger: slog.New(slog.DiscardHandler),
		Ready: func(is bool) {
			if is {
				close(ready)
			}
		}}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-ready
	return as
}

// A request that cannot be answered is refused for the same reason whichever way it comes, and without waiting for its
// deadline, which is a minute here and longer.
func TestRequestsThatCannotBeAnswered(t *testing.T) {
	w := asking(t)("shop")
	for name, ask := range w.all() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for a look at the control log, of which there is one a second
			for what, r := range badRequests {
				if got := ask(t, r); got != r.want {
					t.Errorf("%s: %s, want %s", what, got, r.want)
				}
			}
		})
	}
}

// Reply addresses that are made up or somebody else's are refused: as the place for replies to a request, and as the
// place of a reply.
func TestReplyAddressesOfOthers(t *testing.T) {
	as := asking(t)
	mine, other := as("shop"), as("other")
	foreign := string(other.caller.Address())
	forged := foreign[:len(foreign)-2] + "xx"
	for name, event := range map[string]string{
		"a request, forged":  fmt.Sprintf(`{"specversion":"1.0","type":%q,"replyto":%q,"data":{"n":1}}`, askedQuery, forged),
		"a request, foreign": fmt.Sprintf(`{"specversion":"1.0","type":%q,"replyto":%q,"data":{"n":1}}`, askedQuery, foreign),
		"a reply, forged": fmt.Sprintf(`{"specversion":"1.0","type":"%s.reply","to":%q,"causationid":"1","data":{"n":1}}`,
			askedQuery, forged),
	} {
		p := mine.dial(t).publish(t, event)
		if p.Status != "refused" || reason(t, p.Error) != autobus.ReasonReplyAddress {
			t.Errorf("%s by WebSocket: %+v", name, p)
		}
		resp, text := mine.call(t, http.MethodPost, "/v1/events", event,
			http.Header{"Content-Type": {"application/cloudevents+json"}})
		var all struct{ Results []published }
		if err := json.Unmarshal(text, &all); err != nil || resp.StatusCode != http.StatusUnprocessableEntity ||
			len(all.Results) != 1 || reason(t, all.Results[0].Error) != autobus.ReasonReplyAddress {
			t.Errorf("%s by HTTP: %s %s", name, resp.Status, text)
		}
		e, bad := autobus.ParseEvent([]byte(event))
		if bad != nil {
			t.Fatal(bad)
		}
		if _, err := autobus.PublishOne(t.Context(), mine.client(t), e); !errors.Is(err,
			&autobus.Error{Reason: autobus.ReasonReplyAddress}) {
			t.Errorf("%s in Go: %v", name, err)
		}
		args := []string{"publish", e.Type, "-d", string(e.Data), "--server", mine.url, "--token", mine.token}
		for _, x := range e.Extensions {
			args = append(args, "-H", x.Name+"="+x.Value)
		}
		if code, _, stderr := invoke(t, "", args...); code == exitOK ||
			!strings.Contains(stderr, string(autobus.ReasonReplyAddress)) {
			t.Errorf("%s by the CLI: exit status %d, %s", name, code, stderr)
		}
	}
	// The URL of somebody else's request is nobody's.
	resp, _ := other.call(t, http.MethodPost, "/v1/requests/"+askedQuery, `{"n":1}`,
		http.Header{"Prefer": {"respond-async"}})
	_, text := mine.call(t, http.MethodGet, resp.Header.Get("Location"), "", nil)
	if got := reason(t, text); got != autobus.ReasonRequestUnknown {
		t.Errorf("the answer to somebody else's request: %s", text)
	}
}

// A command has one service. The second is told which.
func TestTwoServicesForACommand(t *testing.T) {
	w := asking(t)("shop")
	policy := fmt.Sprintf(`{"types":[%q]}`, askedCommand)
	if resp, text := w.call(t, http.MethodPut, "/v1/subscriptions/booking", policy, nil); resp.StatusCode != 201 {
		t.Fatalf("%s %s", resp.Status, text)
	}
	told := func(way string, got autobus.Reason, text string) {
		t.Helper()
		if got != autobus.ReasonCommandTaken || !strings.Contains(text, "booking") {
			t.Errorf("%s: %s", way, text)
		}
	}
	_, text := w.call(t, http.MethodPut, "/v1/subscriptions/seats", policy, nil)
	told("HTTP", reason(t, text), string(text))
	s := w.dial(t)
	if err := s.Write(t.Context(), websocket.MessageText, []byte(
		`{"op":"subscribe","seq":1,"subscription":"seats","create":`+policy+`}`)); err != nil {
		t.Fatal(err)
	}
	for !bytes.Contains(text, []byte(`"op":"error"`)) {
		var err error
		if _, text, err = s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var f struct{ Error json.RawMessage }
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	told("WebSocket", reason(t, f.Error), string(text))
	bus := w.client(t)
	err := (&autobus.Worker{Bus: bus, Subscription: "seats", Create: &autobus.Policy{Types: []string{askedCommand}},
		Handle: ipc.Answer(bus, "seats", respondBadly), Logger: slog.New(slog.DiscardHandler)}).Run(t.Context())
	told("Go", autobus.AsError(err).Reason, fmt.Sprint(err))
	for _, args := range [][]string{{"subscription", "create", "seats", "--type", askedCommand},
		{"reply", askedCommand, "--echo"}} {
		code, _, stderr := invoke(t, "", append(args, "-o", "json", "--server", w.url, "--token", w.token)...)
		if code == exitOK {
			t.Errorf("%v succeeded", args)
		}
		told(args[0], reason(t, []byte(stderr)), stderr)
	}
}
