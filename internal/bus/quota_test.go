// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/quota"
)

// limited bounds who publishes as limited; the quota comes back so slowly that no test sees it.
func limited(l quota.Limits) option {
	return func(c *bus.Config, _ *kafka.Config) {
		c.Quotas = quota.New(quota.Config{Rules: []quota.Rule{{Principal: "limited", Limits: l}}})
	}
}

func keyed(id, key string) autobus.Event {
	return autobus.Event{ID: id, Source: "/t", Type: orders, Data: fmt.Appendf(nil, `{"id":%q,"total":1}`, key)}
}

// Within a batch each event is asked for alone: what passes is written, the rest refused for a while, and nothing of a
// key overtakes what was refused of it, not even when the quota would allow it again.
func TestQuotaRefusesEventsAndKeepsTheirOrder(t *testing.T) {
	f := open(t, limited(quota.Limits{Events: 1, Burst: 2 * time.Second}))
	who := as("limited", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "*"})
	stream := &autobus.Stream{}
	b := &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("1", "a"), keyed("2", "b"), keyed("3", "a"),
		keyed("4", "c")}}
	if err := f.Publish(who, b); err != nil {
		t.Fatal(err)
	}
	rs := b.Wait(t.Context())
	for i, want := range []autobus.Status{autobus.Written, autobus.Written, autobus.Refused, autobus.Refused} {
		if rs[i].Status != want {
			t.Errorf("event %d: %+v", i, rs[i])
		}
		if err := rs[i].Err; want == autobus.Refused && (err.Reason != autobus.ReasonQuota || err.RetryAfter <= 0 ||
			err.RetryAfter > 1001*time.Millisecond) {
			t.Errorf("event %d: %v, retry after %s", i, err, err.RetryAfter)
		}
	}
	// Another principal on the same stream stands for the quota that has come back.
	next := &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("5", "a"), keyed("6", "b"), keyed("3", "a"),
		keyed("5", "a")}}
	if err := f.Publish(f.ctx, next); err != nil {
		t.Fatal(err)
	}
	rs = next.Wait(t.Context())
	for i, want := range []autobus.Reason{autobus.ReasonPredecessorFailed, "", "", ""} {
		if got := rs[i].Err; (got == nil) != (want == "") || got != nil && got.Reason != want {
			t.Errorf("event %d afterwards: %+v", i, rs[i])
		}
	}
}

// What is refused for something else uses nothing up, least of all what waits for a refused event of its key: that one
// could never come again.
func TestQuotaCountsWhatWouldBeAppended(t *testing.T) {
	f := open(t, limited(quota.Limits{Events: 1, Burst: 2 * time.Second}))
	who := as("limited", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "*"})
	stream := &autobus.Stream{}
	for _, step := range []struct {
		by    context.Context
		event autobus.Event
		want  autobus.Reason
	}{
		{who, autobus.Event{Type: "orders.order.unknown.v1", Data: []byte(`{}`)}, autobus.ReasonTypeUnknown},
		{who, autobus.Event{Type: orders, Data: []byte(`{"id":"a","total":"x"}`)}, autobus.ReasonDataInvalid},
		{who, keyed("1", "a"), ""},
		{who, keyed("2", "a"), ""},
		{who, keyed("3", "a"), autobus.ReasonQuota},
		{who, keyed("4", "a"), autobus.ReasonPredecessorFailed},
		{f.ctx, keyed("3", "a"), ""}, // another principal stands for the quota that has come back
	} {
		b := &autobus.Batch{Stream: stream, Events: []autobus.Event{step.event}}
		if err := f.Publish(step.by, b); err != nil {
			t.Fatal(err)
		}
		rc := b.Wait(t.Context())[0]
		if rc.Status == autobus.Written != (step.want == "") || rc.Err != nil && rc.Err.Reason != step.want {
			t.Errorf("%s of %s: %+v, want %q", step.event.ID, step.event.Type, rc, step.want)
		}
	}
}

// Who goes on beyond his quota is answered at the pace of the quota, unless he is gone.
func TestAPublishBeyondTheQuotaIsPaced(t *testing.T) {
	f := open(t, limited(quota.Limits{Events: 1}))
	who := as("limited", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "*"})
	begun := time.Now()
	b := &autobus.Batch{Events: []autobus.Event{keyed("1", "a"), keyed("2", "b")}}
	if err := f.Publish(who, b); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	if rs := b.Wait(t.Context()); rs[0].Status != autobus.Written || rs[1].Err.Reason != autobus.ReasonQuota {
		t.Fatalf("%+v", rs)
	}
	if took < 100*time.Millisecond {
		t.Errorf("after %s the next frame was read", took)
	}
	ended, cancel := context.WithCancel(who)
	cancel()
	b = &autobus.Batch{Events: []autobus.Event{keyed("3", "c")}}
	if err := f.Publish(ended, b); err != nil {
		t.Fatal(err)
	}
	if rs := b.Wait(t.Context()); rs[0].Err == nil || rs[0].Err.Reason != autobus.ReasonQuota {
		t.Errorf("%+v", rs)
	}
}

// What was written before is not written again, so it uses nothing up. Else whoever sends a whole batch again, as he
// may, would spend his quota on its beginning every time and never come to its end.
func TestWhatIsSentAgainUsesNoQuota(t *testing.T) {
	f := open(t, limited(quota.Limits{Events: 1, Burst: 4 * time.Second}))
	who := as("limited", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "*"})
	one := func(e autobus.Event) autobus.Receipt {
		t.Helper()
		b := &autobus.Batch{Events: []autobus.Event{e}}
		if err := f.Publish(who, b); err != nil {
			t.Fatal(err)
		}
		return b.Wait(t.Context())[0]
	}
	if rc := one(keyed("1", "a")); rc.Status != autobus.Written {
		t.Fatalf("%+v", rc)
	}
	for range 20 {
		if rc := one(keyed("1", "a")); rc.Status != autobus.Written || !rc.Duplicate {
			t.Fatalf("sent again: %+v", rc)
		}
		if rc := one(keyed("1", "b")); rc.Err == nil || rc.Err.Reason != autobus.ReasonIDConflict {
			t.Fatalf("the id of another one: %+v", rc)
		}
	}
	for _, id := range []string{"2", "3", "4"} {
		if rc := one(keyed(id, "a")); rc.Status != autobus.Written {
			t.Errorf("%s: %+v", id, rc)
		}
	}
}
