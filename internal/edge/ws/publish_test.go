// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

func TestPublishesKeepTheirOrderAndAreAnsweredInAny(t *testing.T) {
	const frames = 50
	var mu sync.Mutex
	var pending []func()
	all := make(chan struct{})
	bus := &fakeBus{settled: func(_ *autobus.Batch, _ int, written func()) {
		mu.Lock()
		defer mu.Unlock()
		if pending = append(pending, written); len(pending) == 2*frames {
			close(all)
		}
	}}
	c := dial(t, serve(t, bus))
	var want []string
	for i := range frames {
		a, b := fmt.Sprintf("%d-a", i), fmt.Sprintf("%d-b", i)
		want = append(want, a, b)
		c.send(publishFrame(i+1, event(a, "k"), event(b, "k")))
	}
	<-all
	if ids := bus.ids(); !slices.Equal(ids, want) {
		t.Errorf("appended in the order %v", ids)
	}
	// The last frame's outcome comes first.
	for i := range frames {
		seq := frames - i
		for _, written := range pending[2*(seq-1) : 2*seq] {
			written()
		}
		f := c.next()
		if !f.is("published", int64(seq)) || len(f.Results) != 2 || f.Results[1].Index != 1 ||
			f.Results[1].ID != fmt.Sprintf("%d-b", seq-1) || f.Results[1].Status != "written" ||
			*f.Results[1].Offset != int64(2*(seq-1)+1) {
			t.Fatalf("answer %s, want that of seq %d", f, seq)
		}
	}
}

func TestPublishTellsEachEventApart(t *testing.T) {
	bus := &fakeBus{judge: func(e *autobus.Event) *autobus.Error {
		if e.ID == "bad" {
			return autobus.NewError(autobus.ReasonDataInvalid, "no")
		}
		return nil
	}}
	c := dial(t, serve(t, bus))
	c.send(publishFrame(1, event("1", "a"), `{"specversion":"1.0","id":"2"}`, event("bad", "b"), `17`, event("5", "c")))
	f := c.next()
	want := []string{"written", "refused", "refused", "refused", "written"}
	if !f.is("published", 1) || len(f.Results) != len(want) {
		t.Fatal(f)
	}
	for i, r := range f.Results {
		if r.Index != i || r.Status != want[i] || (r.Error == nil) != (r.Status == "written") {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	if f.Results[2].Error.Reason != autobus.ReasonDataInvalid || f.Results[1].ID != "2" {
		t.Errorf("%s", f)
	}
}

func TestAFailedKeyHoldsBackLaterFrames(t *testing.T) {
	down := true
	bus := &fakeBus{judge: func(e *autobus.Event) *autobus.Error {
		if down && e.ID == "1" {
			return autobus.NewError(autobus.ReasonCapacity, "full")
		}
		return nil
	}}
	c := dial(t, serve(t, bus))
	steps := []struct {
		id, key string
		reason  autobus.Reason
	}{
		{"1", "k", autobus.ReasonCapacity}, {"2", "k", autobus.ReasonPredecessorFailed}, {"3", "other", ""},
		{"1", "k", ""}, {"2", "k", ""},
	}
	for i, step := range steps {
		down = i == 0
		c.send(publishFrame(i+1, event(step.id, step.key)))
		f := c.next()
		var reason autobus.Reason
		if f.Results[0].Error != nil {
			reason = f.Results[0].Error.Reason
		}
		if reason != step.reason {
			t.Errorf("step %d: %s", i, f)
		}
	}
}

func TestStreamsOfAConnectionDoNotHoldBackEachOther(t *testing.T) {
	bus := &fakeBus{judge: func(e *autobus.Event) *autobus.Error {
		if strings.HasPrefix(e.ID, "bad") {
			return autobus.NewError(autobus.ReasonCapacity, "full")
		}
		return nil
	}}
	c := dial(t, serve(t, bus))
	const held = string(autobus.ReasonPredecessorFailed)
	for i, step := range []struct{ stream, id, reason string }{
		{`,"stream":1`, "bad 1", "capacity"}, {`,"stream":1`, "2", held}, {`,"stream":2`, "2", ""}, {"", "2", ""},
		{`,"stream":0`, "bad 0", "capacity"}, {`,"stream":0`, "2", ""},
		{"", "bad own", "capacity"}, {"", "2", held}, {`,"stream":2`, "2", ""}, {`,"stream":1`, "2", held},
		{"forget", "", ""}, {`,"stream":1`, "2", ""}, {"", "2", held},
	} {
		if step.stream == "forget" {
			c.send(`{"op":"forget","stream":1}`)
			c.send(`{"op":"forget","stream":77}`)
			continue
		}
		c.send(`{"op":"publish","seq":%d%s,"events":[%s]}`, i, step.stream, event(step.id, "k"))
		f := c.next()
		var reason string
		if f.Results[0].Error != nil {
			reason = string(f.Results[0].Error.Reason)
		}
		if reason != step.reason {
			t.Errorf("step %d: %s", i, f)
		}
	}
}

func TestTooManyStreams(t *testing.T) {
	c := dial(t, serve(t, &fakeBus{}))
	for i := range maxStreams {
		if c.send(`{"op":"publish","seq":1,"stream":%d,"events":[]}`, i+1); !c.next().is("published", 1) {
			t.Fatalf("stream %d", i+1)
		}
	}
	more := fmt.Sprintf(`{"op":"publish","seq":2,"stream":%d,"events":[%s]}`, maxStreams+1, event("1", "k"))
	if c.send("%s", more); !c.next().fails(2, autobus.ReasonRequestInvalid) {
		t.Error("one stream too many is taken")
	}
	c.send(`{"op":"forget","stream":5}`)
	if c.send("%s", more); !c.next().is("published", 2) {
		t.Error("a forgotten stream makes no room")
	}
}

func TestPublishFramesThatAreRefused(t *testing.T) {
	bus := &fakeBus{before: func(b *autobus.Batch) error {
		if len(b.Events) == 2 {
			return autobus.NewError(autobus.ReasonShuttingDown, "no more")
		}
		return nil
	}}
	c := dial(t, serve(t, bus))
	many := strings.TrimSuffix(strings.Repeat(event("x", "k")+",", autobus.MaxBatchEvents+1), ",")
	for frame, reason := range map[string]autobus.Reason{
		`{"op":"publish","seq":7,"mode":"atomic","events":[]}`: autobus.ReasonModeInvalid,
		`{"op":"publish","seq":7,"mode":"","events":[]}`:       autobus.ReasonModeInvalid,
		`{"op":"publish","seq":7,"mode":1,"events":[]}`:        autobus.ReasonFrameInvalid,
		`{"op":"publish","seq":7,"events":{}}`:                 autobus.ReasonBodyUnreadable,
		publishFrame(7, many):                                  autobus.ReasonBatchTooLarge,
		publishFrame(7, event("1", "a"), event("2", "b")):      autobus.ReasonShuttingDown,
	} {
		if c.send(frame); !c.next().fails(7, reason) {
			t.Errorf("%.80s is not answered %s", frame, reason)
		}
	}
	c.send(`{"op":"publish","seq":8,"mode":"ordered","events":[17,` + event("1", "a") + `]}`)
	if f := c.next(); f.Results[1].Error == nil || f.Results[1].Error.Reason != autobus.ReasonPredecessorFailed {
		t.Errorf("behind an unreadable event in mode ordered: %s", f)
	}
	c.send(publishFrame(9, event("1", "a")))
	if f := c.next(); !f.is("published", 9) || f.Results[0].Status != "written" {
		t.Errorf("the next frame: %s", f)
	}
}

// stuck is a bus that settles nothing before release gives its token.
func stuck() (bus *fakeBus, release chan struct{}) {
	release = make(chan struct{})
	return &fakeBus{settled: func(_ *autobus.Batch, _ int, written func()) {
		go func() {
			<-release
			written()
		}()
	}}, release
}

func TestTooManyFramesInFlightWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, release := stuck()
		c := dial(t, bubble(t, bus))
		const extra = 5
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range maxPublishes + extra {
				c.send(publishFrame(i+1, event(fmt.Sprint(i), "k")))
			}
		}()
		synctest.Wait()
		if n := len(bus.ids()); n != maxPublishes {
			t.Errorf("%d frames are in flight, want %d", n, maxPublishes)
		}
		release <- struct{}{}
		c.next()
		synctest.Wait()
		if n := len(bus.ids()); n != maxPublishes+1 {
			t.Errorf("after one was settled %d were appended", n)
		}
		close(release)
		for range maxPublishes + extra - 1 {
			c.next()
		}
		<-sent
	})
}

func TestTooManyBytesInFlightWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, release := stuck()
		c := dial(t, bubble(t, bus))
		big := strings.Replace(event("x", "k"), `{"n":1}`, `"`+strings.Repeat("x", 900_000)+`"`, 1)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range 4 {
				c.send(publishFrame(i+1, big, big, big))
			}
		}()
		synctest.Wait()
		if n := len(bus.ids()); n != 3*3 {
			t.Errorf("%d events of 0.9 MB are in flight, want 9", n)
		}
		close(release)
		for range 4 {
			c.next()
		}
		<-sent
	})
}

func TestAnOutcomeThatDoesNotComeIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, release := stuck()
		c := dial(t, bubble(t, bus))
		began := time.Now()
		c.send(publishFrame(1, event("1", "k")))
		f := c.next()
		if !f.is("published", 1) || f.Results[0].Status != "unknown" ||
			f.Results[0].Error.Reason != autobus.ReasonOutcomeUnknown || time.Since(began) != publishTime {
			t.Errorf("after %s: %s", time.Since(began), f)
		}
		close(release)
	})
}

func TestAnswersThatAreNotTakenStopTheReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{}
		c := dial(t, bubble(t, bus))
		many := make([]string, autobus.MaxBatchEvents)
		for i := range many {
			many[i] = event(fmt.Sprint(i), "k")
		}
		frame := publishFrame(1, many...) // its answer has about 110 KB
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for range 120 {
				if c.conn.Write(t.Context(), 1, []byte(frame)) != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if n := len(bus.ids()) / len(many); n > maxPublishes+2*maxUnread/(100*len(many)) {
			t.Errorf("%d frames were read although no answer was taken", n)
		}
		_ = c.conn.CloseNow()
		<-sent
	})
}
