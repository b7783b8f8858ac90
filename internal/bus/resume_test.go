// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// replyAll publishes n replies to an inbox, numbered from first on.
func (f *fixture) replyAll(t *testing.T, to autobus.Address, first, n int) {
	t.Helper()
	b := &autobus.Batch{}
	for i := range n {
		e := autobus.Event{Type: quotes + autobus.ReplySuffix, Data: fmt.Appendf(nil, `{"amount":%d}`, first+i)}
		e.SetExt(autobus.ExtTo, string(to))
		e.SetExt(autobus.ExtCausationID, fmt.Sprint("r-", first+i))
		b.Events = append(b.Events, e)
	}
	for _, rc := range f.publish(f.ctx, t, b) {
		if rc.Err != nil {
			t.Fatal(rc.Err)
		}
	}
}

// Inboxes that are resumed at one instance share what reads for them, wherever they begin. Each gets what it has missed
// and what comes, in order and once.
func TestResumedInboxesShareAReader(t *testing.T) {
	_, fs := newFleet(t, "a", "b")
	asker, other := fs[0], fs[1]
	asker.route(t, quotes, 1, true)
	asker.put(t, "pricing", serving(quotes))
	in := asker.inbox(asker.ctx, t, autobus.Subscription{})
	const before, after, resumed = 50, 50, 40
	asker.replyAll(t, in.at, 0, before)
	var all, halfway sync.WaitGroup
	halfway.Add(resumed)
	for i := range resumed {
		from := autobus.Start{Earliest: true}
		if i%2 == 1 {
			from = autobus.Start{} // from now on
		}
		all.Go(func() {
			again := other.inbox(other.ctx, t, autobus.Subscription{Address: in.at, From: from})
			want := 0
			if from.IsZero() {
				want = before
			} else if len(again.got) < before {
				t.Errorf("inbox %d was open after %d of %d replies", i, len(again.got), before)
			}
			halfway.Done()
			for ; want < before+after; want++ {
				if d := <-again.got; string(d.Data) != fmt.Sprintf(`{"amount":%d}`, want) {
					t.Errorf("inbox %d got %s, want %d", i, d.Data, want)
					return
				}
			}
			again.end(t)
			if n := len(again.got); n > 0 {
				t.Errorf("inbox %d got %d more", i, n)
			}
		})
	}
	halfway.Wait()
	if n := other.Feeds(); n != 1 {
		t.Errorf("%d partitions are read, want 1", n)
	}
	asker.replyAll(t, in.at, before, after)
	all.Wait()
	if n := other.Feeds(); n != 0 {
		t.Errorf("%d partitions are read when all have left, want none", n)
	}
}

// Whoever takes nothing holds up the others for a while, and then he is out.
func TestASlowInboxIsEnded(t *testing.T) {
	_, fs := newFleet(t, "a", "b")
	asker, other := fs[0], fs[1]
	asker.route(t, quotes, 1, true)
	asker.put(t, "pricing", serving(quotes))
	other.SetSlowInbox(time.Millisecond)
	in := asker.inbox(asker.ctx, t, autobus.Subscription{})
	const large = 12
	asker.replyAll(t, in.at, 0, 1)
	taking, slow := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(other.ctx)
	defer cancel()
	go func() {
		slow <- other.Subscribe(other.ctx, autobus.Subscription{Inbox: true, Address: in.at,
			From: autobus.Start{Earliest: true}}, func(context.Context, []autobus.Delivery) {
			select {
			case <-taking:
			default:
				close(taking)
			}
			<-ctx.Done()
		})
	}()
	<-taking
	good := other.inbox(other.ctx, t, autobus.Subscription{Address: in.at, From: autobus.Start{Earliest: true}})
	for range large { // more than may wait
		e := autobus.Event{Type: quotes + autobus.ReplySuffix, ContentType: "application/problem+json",
			Data: []byte(`{"reason":"internal","code":"internal","title":"` + strings.Repeat("x", 900_000) + `"}`)}
		e.SetExt(autobus.ExtTo, string(in.at))
		e.SetExt(autobus.ExtCausationID, "r")
		e.SetExt(autobus.ExtError, autobus.ErrorProblem)
		if rc := asker.one(t, e); rc.Err != nil {
			t.Fatal(rc.Err)
		}
	}
	asker.replyAll(t, in.at, 1, 1)
	var ends []string
	for range large + 2 {
		d := <-good.got
		ends = append(ends, string(d.Data[len(d.Data)-4:]))
	}
	if ends[0] != `":0}` || ends[large+1] != `":1}` || slices.Contains(ends[1:large+1], `":1}`) {
		t.Errorf("the replies end in %q", ends)
	}
	cancel()
	if err := <-slow; !errors.Is(err, &autobus.Error{Reason: autobus.ReasonSlowConsumer}) {
		t.Errorf("the one that takes nothing ended with %v", err)
	}
}
