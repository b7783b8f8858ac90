// SPDX-License-Identifier: Apache-2.0

package ipc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/ipc"
)

func reasonOf(err error) autobus.Reason {
	if e, ok := errors.AsType[*autobus.Error](err); ok {
		return e.Reason
	}
	return ""
}

// Many callers at once get each their own answer.
func TestNoAnswerIsCrossed(t *testing.T) {
	bus := autobustest.New(t)
	serve(t, bus, "pricing", echo)
	c := open(t, bus)
	var all sync.WaitGroup
	for n := range 300 {
		all.Go(func() {
			r, err := c.Call(within(t), quotes, nonce{n})
			var got nonce
			if err == nil {
				err = r.Decode(&got)
			}
			if err != nil || got.N != n || r.Responder != "pricing" {
				t.Errorf("request %d: got %v of %v, error %v", n, got, r, err)
			}
		})
	}
	all.Wait()
	if s := c.Stats(); s.Replies != 300 || s.Outstanding != 0 || s.Late+s.Duplicates+s.Foreign != 0 {
		t.Errorf("%+v", s)
	}
}

// Three suppliers are asked: one answers, one answers twice, one is silent.
func TestPartialAnswersSayWhoIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t)
		serve(t, bus, "a", echo)
		serve(t, bus, "b", func(ctx context.Context, r *ipc.Request) (any, error) {
			twice, _ := autobus.NewEvent(quotes+".reply", nonce{2}, autobus.CausedBy(&r.Event),
				autobus.WithExtension(autobus.ExtTo, string(r.ReplyTo())), autobus.WithExtension(autobus.ExtResponder, "b"))
			_, err := autobus.PublishOne(ctx, bus, twice)
			return nonce{2}, err
		})
		serve(t, bus, "c", func(context.Context, *ipc.Request) (any, error) { return nil, autobus.Skipped("no offer") })
		c := open(t, bus)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		q, err := c.Ask(ctx, quotes, nonce{1}, ipc.All)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(q.Responders(), []string{"a", "b", "c"}) {
			t.Errorf("asked %v", q.Responders())
		}
		var from []string
		for r := range q.Replies() {
			if from = append(from, r.Responder); len(from) == 1 && time.Since(began) > 0 {
				t.Errorf("the first answer came after %s", time.Since(began))
			}
		}
		slices.Sort(from)
		res := q.Result()
		if !slices.Equal(from, []string{"a", "b"}) || res.Got != 2 || !slices.Equal(res.Missing, []string{"c"}) ||
			res.Duplicates != 1 || reasonOf(q.Err()) != autobus.ReasonReplyTimeout || time.Since(began) != 2*time.Second {
			t.Errorf("from %v, %+v, %v, after %s", from, res, q.Err(), time.Since(began))
		}
		// Two are enough for who wants two, and none is waited for longer.
		if q, err = c.Ask(ctx, quotes, nonce{1}, 2); reasonOf(err) != autobus.ReasonDeadlinePassed {
			t.Errorf("asked after the deadline: %v, %v", q, err)
		}
		q, err = c.Ask(t.Context(), quotes, nonce{1}, 2)
		if err != nil {
			t.Fatal(err)
		}
		for range q.Replies() {
		}
		if q.Err() != nil || q.Result().Got != 2 {
			t.Errorf("%+v, %v", q.Result(), q.Err())
		}
	})
}

// What comes after the deadline is dropped and counted.
func TestLateAnswersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t)
		serve(t, bus, "pricing", func(ctx context.Context, r *ipc.Request) (any, error) {
			if string(r.Data) == `{"n":1}` {
				time.Sleep(10 * time.Second) // deaf to its context
			}
			return nil, nil
		})
		c := open(t, bus)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := c.Call(ctx, quotes, nonce{1}); reasonOf(err) != autobus.ReasonReplyTimeout ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slow responder: %v", err)
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if s := c.Stats(); s.Late != 1 || s.Outstanding != 0 {
			t.Errorf("after a late answer: %+v", s)
		}
		gone, giveUp := context.WithCancel(t.Context())
		q, err := c.Ask(gone, quotes, nonce{1}, 1)
		if err != nil {
			t.Fatal(err)
		}
		giveUp()
		if r := q.Next(); r != nil || !errors.Is(q.Err(), context.Canceled) {
			t.Errorf("after it was given up: %v, %v", r, q.Err())
		}
	})
}

func TestRequestsThatNobodyBeginsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t)
		bus.Subscription("pricing", autobus.Policy{Types: []string{quotes}})
		c := open(t, bus)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Call(ctx, quotes, nonce{1}); reasonOf(err) != autobus.ReasonReplyTimeout {
			t.Errorf("nobody is there: %v", err)
		}
		time.Sleep(time.Second)
		done := make(chan string, 10)
		work(t, bus, "pricing", ipc.Answer(bus, "pricing", func(_ context.Context, r *ipc.Request) (any, error) {
			done <- string(r.Data)
			return nil, nil
		}))
		if _, err := c.Call(t.Context(), quotes, nonce{2}); err != nil {
			t.Error(err)
		}
		if first := <-done; first != `{"n":2}` || len(done) != 0 {
			t.Errorf("begun: %s and %d more", first, len(done))
		}
	})
}

func TestCallsThatFail(t *testing.T) {
	bus := autobustest.New(t)
	c := open(t, bus)
	if _, err := c.Call(within(t), quotes, nonce{1}); reasonOf(err) != autobus.ReasonNoResponder {
		t.Errorf("nobody serves it: %v", err)
	}
	if _, err := c.Ask(within(t), quotes, nonce{1}, 0); reasonOf(err) != autobus.ReasonRequestInvalid {
		t.Errorf("no replies wanted: %v", err)
	}
	for want, handle := range map[string]ipc.HandleFunc{
		"responder_failed: failing could not answer: responder_failed: the responder has the reason in its log": func(
			context.Context, *ipc.Request) (any, error) {
			return nil, errors.New("password of the database is wrong")
		},
		"responder_failed: failing could not answer: data_invalid: no such seat": func(context.Context, *ipc.Request) (any,
			error) {
			return nil, fmt.Errorf("book: %w", autobus.NewError(autobus.ReasonDataInvalid, "no such seat"))
		},
		"responder_failed: failing could not answer: event_too_large: ": func(context.Context, *ipc.Request) (any, error) {
			return ipc.Raw{Data: []byte(`"` + strings.Repeat("x", autobus.MaxEventBytes) + `"`)}, nil
		},
		"failing answered sold-out": func(context.Context, *ipc.Request) (any, error) {
			return nil, &ipc.Error{Name: "sold-out", Data: nonce{3}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			bus := autobustest.New(t)
			serve(t, bus, "failing", handle)
			_, err := open(t, bus).Call(within(t), quotes, nonce{1})
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			if declared, ok := errors.AsType[*ipc.ErrorReply](err); ok && string(declared.Reply.Data) != `{"n":3}` {
				t.Errorf("the error says %s", declared.Reply.Data)
			}
		})
	}
	c.Close()
	if _, err := c.Call(within(t), quotes, nonce{1}); reasonOf(err) != autobus.ReasonShuttingDown {
		t.Errorf("after Close: %v", err)
	}
}

// A responder whose handler asks for it, or panics, gets the request again, and the caller an answer.
func TestARequestComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t)
		serve(t, bus, "pricing", func(_ context.Context, r *ipc.Request) (any, error) {
			switch r.Attempt {
			case 1:
				return nil, autobus.RetryAfter(time.Second, errors.New("not yet"))
			case 2:
				panic("broken")
			}
			return nonce{r.Attempt}, nil
		})
		c := open(t, bus)
		r, err := c.Call(t.Context(), quotes, nonce{1})
		if err != nil || string(r.Data) != `{"n":3}` {
			t.Errorf("got %v, %v", r, err)
		}
	})
}

// The answer is not written at first, and tried again under its id.
func TestAnAnswerIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t)
		calls := 0
		serve(t, bus, "pricing", func(context.Context, *ipc.Request) (any, error) { calls++; return nonce{calls}, nil })
		c := open(t, bus)
		bus.FailPublish(func(e *autobus.Event) bool { return e.Type == quotes+".reply" }, autobustest.LoseAnswer().Times(1))
		r, err := c.Call(t.Context(), quotes, nonce{1})
		if err != nil || string(r.Data) != `{"n":1}` || calls != 1 {
			t.Errorf("got %v, %v, %d calls", r, err, calls)
		}
	})
}

// A request that comes again under its id is not done again, and its answer is the one that was given.
func TestARequestUnderTheSameIDHasTheSameAnswer(t *testing.T) {
	bus := autobustest.New(t)
	calls := 0
	serve(t, bus, "pricing", func(context.Context, *ipc.Request) (any, error) { calls++; return nonce{calls}, nil })
	c := open(t, bus)
	e, err := autobus.NewEvent(quotes, nonce{0})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r, err := c.CallEvent(within(t), e)
		if err != nil || string(r.Data) != `{"n":1}` {
			t.Fatalf("got %v, %v", r, err)
		}
	}
}

// Who died while he waited has another inbox when he asks again under the same id. The answer has to come there; that
// it is the first one is the responder's to see to.
func TestARequestFromAnotherInboxIsAnswered(t *testing.T) {
	bus := autobustest.New(t)
	calls := 0
	serve(t, bus, "pricing", (&ipc.Once{}).Do(func(context.Context, *ipc.Request) (any, error) {
		calls++
		return nonce{calls}, nil
	}))
	e, err := autobus.NewEvent(quotes, nonce{0})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r, err := open(t, bus).CallEvent(within(t), e)
		if err != nil || string(r.Data) != `{"n":1}` {
			t.Fatalf("got %v, %v", r, err)
		}
	}
}
