// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

func endGoroutine() { runtime.Goexit() }

func TestSendMakesAnEvent(t *testing.T) {
	f := newFakeBus()
	cause := autobus.Event{ID: "cause"}
	cause.SetExt(autobus.ExtCorrelationID, "flow")
	at := time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)
	r, err := autobus.Send(t.Context(), f, "a.b.v1", map[string]int{"n": 1}, autobus.WithID("i"), autobus.WithSource("/s"),
		autobus.WithSubject("sub"), autobus.WithKey("k"), autobus.WithTime(at), autobus.WithContentType("x/y+json"),
		autobus.WithExtension("tenant", "t"), autobus.CausedBy(&cause))
	if err != nil || r.Status != autobus.Written {
		t.Fatal(r, err)
	}
	e := f.sent[0]
	got := fmt.Sprint(e.ID, e.Source, e.Type, e.Subject, e.Time.Equal(at), e.ContentType, string(e.Data), e.Extensions)
	want := `i/sa.b.v1subtruex/y+json{"n":1}[{partitionkey k} {tenant t} {causationid cause} {correlationid flow}]`
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if _, has := e.Ext(autobus.ExtCorrelationID); !has {
		t.Error("the flow is lost")
	}
}

func TestDataAsItIsOrAsJSON(t *testing.T) {
	bytes := []byte("x < y")
	for _, c := range []struct {
		data any
		want string
	}{
		{bytes, "x < y"}, {json.RawMessage(`{ "a":1}`), `{ "a":1}`}, {nil, ""}, {"s", `"s"`},
		{struct{ A int }{1}, `{"A":1}`},
	} {
		e, err := autobus.NewEvent("t.t.v1", c.data)
		if err != nil || string(e.Data) != c.want || len(e.ID) != 36 || (e.Data == nil) != (c.data == nil) {
			t.Errorf("%v: %+v, %v", c.data, e, err)
		}
	}
	e, _ := autobus.NewEvent("t.t.v1", bytes)
	if bytes[0] = '?'; e.Data[0] != 'x' {
		t.Error("the event changes with the caller's buffer")
	}
	f := newFakeBus()
	for name, err := range map[string]error{
		"Send":      second(autobus.Send(t.Context(), f, "t.t.v1", make(chan int))),
		"SendAsync": second(autobus.SendAsync(t.Context(), f, "t.t.v1", make(chan int)).Wait(t.Context())),
	} {
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonDataUnreadable}) {
			t.Errorf("%s of a channel: %v", name, err)
		}
	}
	if len(f.sent) > 0 {
		t.Error("something was sent")
	}
}

func unknown(why *autobus.Error) autobus.Receipt {
	return autobus.Receipt{Status: autobus.Unknown, Err: why}
}

func second(_ autobus.Receipt, err error) error { return err }

func TestTheErrorSaysWhatIsKnown(t *testing.T) {
	forbidden := &autobus.Error{Reason: autobus.ReasonForbidden}
	for name, c := range map[string]struct {
		receipt autobus.Receipt
		publish error // a bus that looked at nothing
		status  autobus.Status
		want    error
	}{
		"written": {receipt: written(1), status: autobus.Written},
		"refused": {receipt: refused(autobus.ReasonForbidden), status: autobus.Refused, want: forbidden},
		"unknown": {receipt: unknown(nil), status: autobus.Unknown, want: autobus.ErrUnknown},
		"unknown, because": {receipt: unknown(autobus.NewError(autobus.ReasonInternal, "")), status: autobus.Unknown,
			want: autobus.ErrUnknown},
		"not looked at": {publish: autobus.NewError(autobus.ReasonForbidden, ""), status: autobus.Refused, want: forbidden},
		"cut off":       {publish: context.Canceled, status: autobus.Unknown, want: autobus.ErrUnknown},
	} {
		f := newFakeBus()
		f.accept = func(b *autobus.Batch, i int) { b.Resolve(i, c.receipt) }
		if c.publish != nil {
			f.refuse = func(*autobus.Batch) error { return c.publish }
		}
		r, err := autobus.PublishOne(t.Context(), f, keyed("a", "k"))
		if r.Status != c.status || (err == nil) != (c.want == nil) || !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if c.status == autobus.Refused && errors.Is(err, autobus.ErrUnknown) {
			t.Errorf("%s counts as unknown", name)
		}
	}
}

func TestATimeoutIsUnknownAndTheSameEventCanBeSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeBus()
		var first *autobus.Batch
		f.accept = func(b *autobus.Batch, _ int) { first = b }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e, _ := autobus.NewEvent("a.b.v1", 1, autobus.WithKey("k"))
		r, err := autobus.PublishOne(ctx, f, e)
		if r.Status != autobus.Unknown || !errors.Is(err, autobus.ErrUnknown) {
			t.Error(r, err)
		}
		f.accept = nil
		if _, err = autobus.PublishOne(t.Context(), f, e); err != nil {
			t.Error(err)
		}
		if f.sent[0].ID != f.sent[1].ID || f.sent[0].ID == "" {
			t.Errorf("ids %q and %q", f.sent[0].ID, f.sent[1].ID)
		}
		f.sent[0].Extensions[0].Value = "changed by the bus"
		if k, _ := e.Ext(autobus.ExtPartitionKey); k != "k" {
			t.Error("the bus shares memory with the caller's event")
		}
		first.Resolve(0, written(1))
	})
}

func TestAPromiseTellsItsOutcomeToAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeBus()
		var batch *autobus.Batch
		f.accept = func(b *autobus.Batch, _ int) { batch = b }
		p := autobus.SendAsync(t.Context(), f, "a.b.v1", 1)
		told := make(chan autobus.Receipt, 3)
		then := func(r autobus.Receipt, err error) {
			if err != nil {
				t.Error(err)
			}
			told <- r
		}
		p.Then(then)
		p.Then(then)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Wait(ended); !errors.Is(err, autobus.ErrUnknown) {
			t.Error("before it is known:", err)
		}
		if synctest.Wait(); len(told) != 0 {
			t.Error("told before it is known")
		}
		batch.Resolve(0, written(7))
		p.Then(then)
		synctest.Wait()
		if len(told) != 3 {
			t.Fatal("told", len(told), "times")
		}
		for range 2 {
			if r, err := p.Wait(t.Context()); err != nil || r.Offset != 7 || (<-told).Offset != 7 {
				t.Error(r, err)
			}
		}
		if p.Event.ID == "" || p.Event.ID != f.sent[0].ID {
			t.Errorf("the promise has id %q, sent was %q", p.Event.ID, f.sent[0].ID)
		}
		f.refuse = func(*autobus.Batch) error { return errBroken }
		failed := make(chan error, 1)
		p = autobus.SendAsync(t.Context(), f, "a.b.v1", 1)
		p.Then(func(_ autobus.Receipt, err error) { failed <- err })
		if err := <-failed; !errors.Is(err, errBroken) {
			t.Error("told", err)
		}
	})
}
