// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/ipc"
)

// gather asks five services, of which one is silent and one answers twice. The answer is complete when its time is
// over: who answered, who is missing, what was dropped. Its short form is in package ipc, in fake time.
func gather(t *testing.T, s *stand, sc scale, r *row) {
	const timeout = 2 * time.Second
	a := newAsking(t, s)
	g := s.start(t)
	prefix := bustest.Prefix() + "-"
	silent, twice := prefix+"silent", prefix+"twice"
	for _, name := range []string{prefix + "a", prefix + "b", prefix + "c", twice, silent} {
		handle := echo
		switch name {
		case silent:
			handle = func(ctx context.Context, _ *ipc.Request) (any, error) {
				<-ctx.Done() // the deadline of the request
				return nil, context.Cause(ctx)
			}
		case twice:
			handle = a.twice(g, twice)
		}
		a.serve(name, 50, handle, g)
	}
	var mu sync.Mutex
	var off []time.Duration
	for range sc.rate {
		a.calls.Go(func() {
			late := a.gather(g, timeout, silent)
			mu.Lock()
			defer mu.Unlock()
			off = append(off, late)
		})
	}
	a.calls.Wait()
	rep := a.judge(t, s.broker)
	if want := 5 * sc.rate; rep.Replies != want {
		t.Errorf("the log has %d replies, want %d: the second ones did not come, or the silent one spoke", rep.Replies, want)
	}
	slices.Sort(off)
	for _, d := range []time.Duration{off[0], off[len(off)-1]} {
		if sc.full && d.Abs() > 200*time.Millisecond {
			t.Errorf("an answer came %s from its deadline, more than 200ms", d)
		}
	}
	r.asked(t, sc, rep, "%d times at once: got 4, missing [silent], duplicates 1; %d to %d ms after the deadline", sc.rate,
		off[0].Milliseconds(), off[len(off)-1].Milliseconds())
}

// twice answers twice, the first time by itself.
func (a *asking) twice(g *gateway, name string) ipc.HandleFunc {
	c := a.connect(g)
	a.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return func(ctx context.Context, q *ipc.Request) (any, error) {
		answer, err := echo(ctx, q)
		if err != nil {
			return nil, err
		}
		first, err := autobus.NewEvent(a.typ+autobus.ReplySuffix, answer, autobus.CausedBy(&q.Event),
			autobus.WithExtension(autobus.ExtTo, string(q.ReplyTo())), autobus.WithExtension(autobus.ExtResponder, name))
		if err == nil {
			_, err = autobus.PublishOne(ctx, c, first)
		}
		return answer, err
	}
}

// gather asks all and gives how long after its deadline the answer was complete.
func (a *asking) gather(g *gateway, timeout time.Duration, silent string) time.Duration {
	q := question{id: autobus.NewID(time.Now()), n: a.next.Add(1)}
	w := a.history.Wait(q.id, a.typ, strconv.FormatInt(q.n, 10), false)
	ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
	defer cancel()
	began := time.Now()
	r, err := a.call(ctx, g, http.MethodPost, "/v1/requests/"+a.typ+"?replies=all&timeout="+timeout.String(),
		http.Header{"Ce-Id": {q.id}}, fmt.Appendf(nil, `{"order":"%d"}`, q.n))
	late := time.Since(began) - timeout
	if err != nil || r.status != http.StatusOK {
		a.t.Errorf("request %s: %v %+v", q.id, err, r)
		return late
	}
	var done string
	for lines := bufio.NewScanner(bytes.NewReader(r.text)); lines.Scan(); {
		var line struct {
			Event      json.RawMessage `json:"event"`
			Done       bool            `json:"done"`
			Got        int             `json:"got"`
			Missing    []string        `json:"missing"`
			Duplicates int             `json:"duplicates"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			a.t.Error(err)
		}
		if line.Done {
			done = fmt.Sprint(line.Got, line.Missing, line.Duplicates)
			continue
		}
		e, bad := autobus.ParseEvent(line.Event)
		if bad != nil {
			a.t.Error(bad)
			continue
		}
		w.Got(&e, amount(e.Data))
	}
	w.End("")
	if want := fmt.Sprint(4, []string{silent}, 1); done != want {
		a.t.Errorf("request %s ended with %q, want %q", q.id, done, want)
	}
	return late
}
