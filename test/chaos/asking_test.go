// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/ipc"
)

// asking makes requests over HTTP and notes what its callers get. Each has a number of its own, which every answer has
// to repeat.
type asking struct {
	t       *testing.T
	typ     string
	history *bustest.History
	client  *http.Client
	next    atomic.Int64
	waiting atomic.Int64 // callers
	calls   sync.WaitGroup

	mu     sync.Mutex
	places []question // that are open: their answers are to be fetched
	broken []question // whose call broke; nobody knows whether they are written
	got    int        // answers that came to the call that asked
}

// question is a request that has no answer yet.
type question struct {
	id    string
	n     int64
	place string // where the answer will be
}

// newAsking adds a query to the specs of a stand, which gateways read when they start.
func newAsking(t *testing.T, s *stand) *asking {
	t.Helper()
	types := bustest.NewTypes(bustest.Prefix())
	name := "events/conf/" + types.Query + ".yaml"
	if err := os.WriteFile(filepath.Join(s.specs, filepath.FromSlash(name)), types.Specs()[name], 0o644); err != nil {
		t.Fatal(err)
	}
	a := &asking{t: t, typ: types.Query, history: bustest.NewHistory(),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 500}}}
	t.Cleanup(a.client.CloseIdleConnections)
	return a
}

// replied is an answer as the API gives it.
type replied struct {
	status int
	place  string
	event  autobus.Event
	nonce  string
	text   []byte
}

// call asks the API. The error means that there is no answer to the call, or a part of one.
func (a *asking) call(ctx context.Context, g *gateway, method, path string, h http.Header,
	body []byte) (*replied, error) {
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = h
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Content-Type", "application/json")
	g.authorize(req)
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	r := &replied{status: resp.StatusCode, place: resp.Header.Get("Location"), text: text}
	r.event = autobus.Event{ID: resp.Header.Get("Ce-Id"), Type: resp.Header.Get("Ce-Type"), Data: text}
	r.event.SetExt(autobus.ExtCausationID, resp.Header.Get("Ce-Causationid"))
	r.event.SetExt(autobus.ExtResponder, resp.Header.Get("Ce-Responder"))
	r.nonce = amount(text)
	return r, nil
}

// amount reads the number of an answer.
func amount(text []byte) string {
	var v struct{ Amount json.Number }
	if json.Unmarshal(text, &v) != nil {
		return string(text)
	}
	return v.Amount.String()
}

// ask asks and waits for the answer. When its time is over, the answer is to be fetched later. false = the call broke.
func (a *asking) ask(ctx context.Context, g *gateway, q question) bool {
	w := a.history.Wait(q.id, a.typ, strconv.FormatInt(q.n, 10), false)
	r, err := a.call(ctx, g, http.MethodPost, "/v1/requests/"+a.typ+"?timeout=30s", http.Header{"Ce-Id": {q.id}},
		fmt.Appendf(nil, `{"order":"%d"}`, q.n))
	switch {
	case err != nil:
		return false // the call has no end
	case r.status == http.StatusOK:
		w.Got(&r.event, r.nonce)
		w.End("")
		a.mu.Lock()
		defer a.mu.Unlock()
		a.got++
	case r.status == http.StatusGatewayTimeout && r.place != "":
		w.End(strconv.Itoa(r.status))
		q.place = r.place
		a.mu.Lock()
		defer a.mu.Unlock()
		a.places = append(a.places, q)
	default:
		w.End(strconv.Itoa(r.status))
		a.t.Errorf("request %s ended with %d: %s", q.id, r.status, r.text)
	}
	return true
}

// fetch asks for the answer at a place until it is there.
func (a *asking) fetch(ctx context.Context, g *gateway, q question) (found bool) {
	w := a.history.Wait(q.id, a.typ, strconv.FormatInt(q.n, 10), true)
	for ctx.Err() == nil {
		r, err := a.call(ctx, g, http.MethodGet, q.place+"?wait=20s", nil, nil)
		switch {
		case err != nil:
			a.t.Errorf("the answer to %s: %v", q.id, err)
			return false
		case r.status == http.StatusAccepted:
			continue
		case r.status == http.StatusOK:
			w.Got(&r.event, r.nonce)
			w.End("")
			return true
		}
		w.End(strconv.Itoa(r.status))
		a.t.Errorf("the answer to %s is %d: %s", q.id, r.status, r.text)
		return false
	}
	return false
}

// begin makes a request: every second one wants its answer later.
func (a *asking) begin(g *gateway) {
	n := a.next.Add(1)
	q := question{id: autobus.NewID(time.Now()), n: n}
	a.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
		defer cancel()
		if n%2 == 0 {
			a.waiting.Add(1)
			ok := a.ask(ctx, g, q)
			a.waiting.Add(-1)
			if !ok {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.broken = append(a.broken, q)
			}
			return
		}
		r, err := a.call(ctx, g, http.MethodPost, "/v1/requests/"+a.typ+"?timeout=2m",
			http.Header{"Ce-Id": {q.id}, "Prefer": {"respond-async"}}, fmt.Appendf(nil, `{"order":"%d"}`, n))
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case err != nil:
			a.broken = append(a.broken, q)
		case r.status != http.StatusAccepted || r.place == "":
			a.t.Errorf("request %s is answered %d: %s", q.id, r.status, r.text)
		default:
			q.place = r.place
			a.places = append(a.places, q)
		}
	})
}

// answered is how many calls were answered at once.
func (a *asking) answered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.got
}

// open is how many answers are to be fetched.
func (a *asking) open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.places)
}

// load makes so many requests a second until ctx ends.
func (a *asking) load(ctx context.Context, g *gateway, rate int) {
	began := time.Now()
	tick := time.NewTicker(max(perSecond(rate), time.Millisecond))
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; {
		if time.Since(began) < time.Duration(n)*perSecond(rate) {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
			continue
		}
		a.begin(g)
		n++
	}
}

// each does something with questions, some at a time.
func each(qs []question, do func(question)) {
	var all sync.WaitGroup
	places := make(chan struct{}, 500)
	for _, q := range qs {
		places <- struct{}{}
		all.Go(func() { do(q); <-places })
	}
	all.Wait()
}

// fetchAll asks for answers and gives how many there are.
func (a *asking) fetchAll(ctx context.Context, g *gateway, qs []question) int {
	var found atomic.Int64
	each(qs, func(q question) {
		if a.fetch(ctx, g, q) {
			found.Add(1)
		}
	})
	return int(found.Load())
}

// judge lets the history judge.
func (a *asking) judge(t *testing.T, k *bustest.Kafka) bustest.Report {
	t.Helper()
	a.history.Replies(bustest.ReadAll(t, k.Open(t), "_autobus.replies"))
	r := a.history.Check()
	for i, f := range r.Faults {
		if i < 20 {
			t.Error(f)
		}
	}
	t.Logf("%d requests, %d waiters that came to an end, %d replies in the log", r.Requests, r.Answered, r.Replies)
	return r
}

// serve answers the type at gateways, in this process, until stop is called.
func (a *asking) serve(name string, workers int, handle ipc.HandleFunc, gs ...*gateway) (stop func()) {
	a.t.Helper()
	c, w := a.worker(name, workers, handle, gs...)
	ready := make(chan struct{})
	w.Ready = func(is bool) {
		if is && ready != nil {
			close(ready)
			ready = nil
		}
	}
	was := ready
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			a.t.Errorf("worker of %s: %v", name, err)
		}
		_ = c.Close(context.Background()) // nothing is under way any more
	})
	a.t.Cleanup(stop)
	select {
	case <-was:
	case <-time.After(bustest.Patience):
		a.t.Fatalf("the worker of %s is not ready", name)
	}
	return stop
}

func (a *asking) worker(name string, workers int, handle ipc.HandleFunc, gs ...*gateway) (*client.Client,
	*autobus.Worker) {
	a.t.Helper()
	c := a.connect(gs...)
	return c, &autobus.Worker{Bus: c, Subscription: name, Workers: workers, Window: &autobus.Window{Events: workers},
		Create: &autobus.Policy{Types: []string{a.typ}, Start: autobus.Start{Earliest: true}},
		Handle: ipc.Answer(c, name, handle), Grace: time.Second, Logger: bustest.Logger(a.t)}
}

// connect makes a client of gateways, tried in turn.
func (a *asking) connect(gs ...*gateway) *client.Client {
	a.t.Helper()
	url := ""
	for i, g := range gs {
		if i > 0 {
			url += ","
		}
		url += g.url
	}
	c, err := client.New(client.Config{URL: url, Token: gs[0].token, Logger: bustest.Logger(a.t)})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// echo answers by the number that was asked.
func echo(_ context.Context, r *ipc.Request) (any, error) {
	var q struct{ Order json.Number }
	if err := json.Unmarshal(r.Data, &q); err != nil {
		return nil, err
	}
	return map[string]json.Number{"amount": q.Order}, nil
}
