// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

const (
	quotes  = "pricing.quote.price.v1"
	askPath = "/v1/requests/" + quotes
)

// asked is a gateway whose bus has responders.
type asked struct {
	*site
	bus *autobustest.Bus
}

// everyone may do everything.
func everyone(name string) autobus.Principal {
	p := autobus.Principal{Name: name}
	for _, v := range autobus.Verbs() {
		p.Grants = append(p.Grants, autobus.Grant{Verb: v, Pattern: "*"})
	}
	return p
}

// asking serves requests over a bus; several of them over one are instances.
func asking(t *testing.T, bus *autobustest.Bus) *asked {
	t.Helper()
	callers := ipc.NewCallers(bus)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- callers.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	who := everyone("dev")
	return &asked{serve(t, bus, edge.Options{Open: &who}, Config{Callers: callers}), bus}
}

// respond answers the requests of a subscription.
func respond(t *testing.T, bus *autobustest.Bus, name string, handle ipc.HandleFunc) {
	t.Helper()
	bus.Subscription(name, autobus.Policy{Types: []string{quotes}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ipc.Serve(ctx, bus, name, handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestARequestIsAnsweredByItsReply(t *testing.T) {
	a := asking(t, autobustest.New(t))
	respond(t, a.bus, "pricing", func(_ context.Context, r *ipc.Request) (any, error) {
		switch string(r.Data) {
		case `"plain"`:
			return ipc.Raw{ContentType: "text/plain", Data: []byte("\x00\xff 100%")}, nil
		case `"declared"`:
			return nil, &ipc.Error{Name: "sold out", Data: map[string]int{"code": 3}}
		case `"fails"`:
			return nil, autobus.NewError(autobus.ReasonDataInvalid, "no such seat")
		}
		return ipc.Raw{Data: r.Data}, nil
	})
	got := a.post(t, askPath, mediaJSON, `{"n": 1}`, "ce-id", "r-1")
	h := got.Header
	if got.Status != http.StatusOK || got.Body != `{"n": 1}` || h.Get("Ce-Causationid") != "r-1" ||
		h.Get("Ce-Type") != quotes+".reply" || h.Get("Ce-Responder") != "pricing" || h.Get("Ce-Source") == "" ||
		h.Get("Content-Type") != mediaJSON || h.Get("Ce-To") != "" {
		t.Errorf("%d %s %v", got.Status, got.Body, h)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+askPath, strings.NewReader(`"plain"`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaJSON)
	resp, err := a.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data := make([]byte, 100)
	n, _ := resp.Body.Read(data)
	if string(data[:n]) != "\x00\xff 100%" || resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("plain data came as %q, %s", data[:n], resp.Header.Get("Content-Type"))
	}
	got = a.post(t, askPath, mediaJSON, `"declared"`)
	if got.Status != http.StatusOK || got.Header.Get("Ce-Error") != "sold%20out" || got.Body != `{"code":3}` {
		t.Errorf("a declared error: %d %s %v", got.Status, got.Body, got.Header)
	}
	got = a.post(t, askPath, mediaJSON, `"fails"`)
	if got.Status != http.StatusServiceUnavailable || got.Reason != autobus.ReasonResponderFailed ||
		!strings.Contains(got.Detail, "no such seat") {
		t.Errorf("a failure: %d %s", got.Status, got.Body)
	}
	got = a.post(t, askPath+"?replies=0", mediaJSON, `{"n":2}`)
	if got.Status != http.StatusAccepted || len(got.Results) != 1 || got.Results[0].Status != "written" {
		t.Errorf("one way: %d %s", got.Status, got.Body)
	}
}

func TestBadRequests(t *testing.T) {
	a := asking(t, autobustest.New(t))
	respond(t, a.bus, "pricing", func(context.Context, *ipc.Request) (any, error) { return nil, nil })
	past := time.Now().Add(-time.Hour).Format(time.RFC3339)
	for name, c := range map[string]struct {
		path, media, body string
		headers           []string
		status            int
		why               autobus.Reason
	}{
		"nobody serves it":  {"/v1/requests/a.b.c.v1", mediaJSON, "{}", nil, 503, autobus.ReasonNoResponder},
		"replies":           {askPath + "?replies=-1", mediaJSON, "{}", nil, 400, autobus.ReasonRequestInvalid},
		"replies in words":  {askPath + "?replies=some", mediaJSON, "{}", nil, 400, autobus.ReasonRequestInvalid},
		"timeout":           {askPath + "?timeout=61s", mediaJSON, "{}", nil, 400, autobus.ReasonRequestInvalid},
		"parameter":         {askPath + "?reply=1", mediaJSON, "{}", nil, 400, autobus.ReasonRequestInvalid},
		"a stream":          {askPath, mediaNDJSON, "{}", nil, 415, autobus.ReasonMediaType},
		"a whole event":     {askPath, mediaStructured, "{}", nil, 415, autobus.ReasonMediaType},
		"an own address":    {askPath, mediaJSON, "{}", []string{"ce-replyto", "x"}, 400, autobus.ReasonRequestInvalid},
		"a type of replies": {askPath + ".reply", mediaJSON, "{}", nil, 422, autobus.ReasonTypeInvalid},
		"unreadable":        {askPath, mediaJSON, "{", nil, 422, autobus.ReasonDataUnreadable},
		"too late":          {askPath, mediaJSON, "{}", []string{"ce-expirytime", past}, 422, autobus.ReasonDeadlinePassed},
		"too late, one way": {askPath + "?replies=0", mediaJSON, "{", nil, 422, autobus.ReasonDataUnreadable},
		"too large": {askPath, mediaJSON, `"` + strings.Repeat("x", autobus.MaxEventBytes) + `"`, nil, 413,
			autobus.ReasonEventTooLarge},
	} {
		if got := a.post(t, c.path, c.media, c.body, c.headers...); got.Status != c.status || got.Reason != c.why {
			t.Errorf("%s: %d %s, want %d %s", name, got.Status, got.Reason, c.status, c.why)
		}
	}
	for _, token := range []string{"x", "e30", strings.Repeat("A", maxToken+1)} {
		got := a.do(t, http.MethodGet, requestsPath+token, "")
		if got.Status != http.StatusNotFound || got.Reason != autobus.ReasonRequestUnknown {
			t.Errorf("token %.10s: %d %s", token, got.Status, got.Reason)
		}
	}
}

// Three are asked for all: one answers, one twice, one not at all.
func TestManyReplies(t *testing.T) {
	a := asking(t, autobustest.New(t))
	silent, leave := context.WithCancel(context.Background())
	defer leave()
	respond(t, a.bus, "a", func(context.Context, *ipc.Request) (any, error) { return "a", nil })
	respond(t, a.bus, "b", func(ctx context.Context, r *ipc.Request) (any, error) {
		first, _ := autobus.NewEvent(quotes+".reply", "b", autobus.CausedBy(&r.Event),
			autobus.WithExtension(autobus.ExtTo, string(r.ReplyTo())), autobus.WithExtension(autobus.ExtResponder, "b"))
		_, err := autobus.PublishOne(ctx, a.bus, first)
		return "b", err
	})
	respond(t, a.bus, "c", func(context.Context, *ipc.Request) (any, error) {
		<-silent.Done()
		return nil, autobus.Skipped("silent")
	})
	got := a.post(t, askPath+"?replies=all&timeout=500ms", mediaJSON, "{}")
	lines := strings.Split(strings.TrimSpace(got.Body), "\n")
	var from []string
	for _, l := range lines[:len(lines)-1] {
		var reply struct {
			Responder string        `json:"responder"`
			Event     autobus.Event `json:"-"`
		}
		if err := json.Unmarshal([]byte(l), &reply); err != nil {
			t.Fatal(err)
		}
		from = append(from, reply.Responder)
	}
	slices.Sort(from)
	if want := `{"done":true,"got":2,"missing":["c"],"duplicates":1}`; lines[len(lines)-1] != want ||
		!slices.Equal(from, []string{"a", "b"}) || got.Status != http.StatusOK {
		t.Errorf("%d from %v, the last line is %s, want %s", got.Status, from, lines[len(lines)-1], want)
	}
	// What is in the log is told again, by the URL that came along.
	again := a.do(t, http.MethodGet, got.Header.Get("Location"), "")
	if again.Status != http.StatusAccepted && !strings.Contains(again.Body, `"got":2,"missing":["c"]`) {
		t.Errorf("fetched again: %d %s", again.Status, again.Body)
	}
	leave()
	// Who wants two is not kept waiting for the third.
	if got = a.post(t, askPath+"?replies=2&timeout=30s", mediaJSON, "{}"); !strings.Contains(got.Body, `"got":2`) {
		t.Errorf("two of three: %s", got.Body)
	}
}

// The answer comes after the caller gave up, or never waited, and is fetched from another instance.
func TestAnswersAreFetchedFromAnyInstance(t *testing.T) {
	bus := autobustest.New(t)
	first, other := asking(t, bus), asking(t, bus)
	open := make(chan struct{})
	respond(t, bus, "pricing", func(_ context.Context, r *ipc.Request) (any, error) {
		<-open
		return ipc.Raw{Data: r.Data}, nil
	})
	got := first.post(t, askPath+"?timeout=60s", mediaJSON, `{"n":1}`, "Prefer", "wait=5, respond-async")
	at := got.Header.Get("Location")
	if got.Status != http.StatusAccepted || at == "" || got.Header.Get("Preference-Applied") != "respond-async" {
		t.Fatalf("%d %s %v", got.Status, got.Body, got.Header)
	}
	if got := other.do(t, http.MethodGet, at, ""); got.Status != http.StatusAccepted || got.Header.Get("Location") != at {
		t.Errorf("while it is open: %d %s", got.Status, got.Body)
	}
	late := first.post(t, askPath+"?timeout=50ms", mediaJSON, `{"n":2}`)
	if late.Status != http.StatusGatewayTimeout || late.Reason != autobus.ReasonReplyTimeout {
		t.Errorf("in vain: %d %s", late.Status, late.Body)
	}
	first.stop()
	<-first.done
	first.done <- nil // for the cleanup
	close(open)
	if got := other.do(t, http.MethodGet, at+"?wait=30s", ""); got.Status != http.StatusOK || got.Body != `{"n":1}` {
		t.Errorf("the answer: %d %s", got.Status, got.Body)
	}
	if got := other.do(t, http.MethodGet, at, ""); got.Status != http.StatusOK || got.Body != `{"n":1}` {
		t.Errorf("the answer again: %d %s", got.Status, got.Body)
	}
	thief := everyone("thief")
	stranger := serve(t, bus, edge.Options{Open: &thief}, Config{Callers: ipc.NewCallers(bus)})
	if got := stranger.do(t, http.MethodGet, at, ""); got.Status != http.StatusNotFound ||
		got.Reason != autobus.ReasonRequestUnknown {
		t.Errorf("somebody else's answer: %d %s", got.Status, got.Body)
	}
}

// The answer may be older than the URL: it was given when the request came for the first time.
func TestARequestThatComesAgainHasTheAnswerToTheFirst(t *testing.T) {
	bus := autobustest.New(t, autobustest.Clock(time.Now().Add(-10*time.Minute))) // so long ago it was
	a := asking(t, bus)
	respond(t, bus, "pricing", func(_ context.Context, r *ipc.Request) (any, error) { return ipc.Raw{Data: r.Data}, nil })
	ask := func(query string) (at string) {
		return a.post(t, askPath+query, mediaJSON, `{"n":1}`, "ce-id", "r-1", "Prefer", "respond-async").
			Header.Get("Location")
	}
	ask("")
	bus.Idle("pricing")
	if got := a.do(t, http.MethodGet, ask("")+"?wait=30s", ""); got.Status != http.StatusOK || got.Body != `{"n":1}` {
		t.Errorf("one reply: %d %s", got.Status, got.Body)
	}
	got := a.do(t, http.MethodGet, ask("?replies=all")+"?wait=30s", "")
	if !strings.HasSuffix(strings.TrimSpace(got.Body), `{"done":true,"got":1,"missing":[],"duplicates":0}`) {
		t.Errorf("all of them: %d %s", got.Status, got.Body)
	}
	if n := len(bus.Published(quotes)); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// Of a request of which it is not known whether it was written nobody is told that all have answered it.
func TestManyRepliesToARequestThatMayNotBeWritten(t *testing.T) {
	a := asking(t, autobustest.New(t))
	respond(t, a.bus, "pricing", func(context.Context, *ipc.Request) (any, error) { return "A", nil })
	a.bus.FailPublish(func(e *autobus.Event) bool { return e.Type == quotes }, autobustest.LoseRequest().Times(1))
	got := a.post(t, askPath+"?replies=all&timeout=50ms", mediaJSON, `{"n":1}`)
	if got.Status != http.StatusGatewayTimeout || got.Reason != autobus.ReasonOutcomeUnknown {
		t.Errorf("it was lost: %d %s", got.Status, got.Body)
	}
	a.bus.FailPublish(func(e *autobus.Event) bool { return e.Type == quotes }, autobustest.LoseAnswer().Times(1))
	got = a.post(t, askPath+"?replies=2&timeout=500ms", mediaJSON, `{"n":1}`)
	if got.Status != http.StatusOK || !strings.Contains(got.Body, `"responder":"pricing"`) ||
		!strings.Contains(got.Body, `"got":1`) {
		t.Errorf("its answer was: %d %s", got.Status, got.Body)
	}
}
