// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestCloseFrame shows that a close frame is a goodbye as good as an unsubscribe, which the suite sends before, and
// that the end of the connection without one is a death.
func TestCloseFrame(t *testing.T) {
	b, target := instance(t, bustest.Embedded(t), "conformance", true)
	types := bustest.NewTypes(bustest.Prefix())
	target.Push(t, types.Specs())
	s := serve(t, b)
	client := s.as(newWSBus)(t, autobus.Principal{Name: "closing", Grants: []autobus.Grant{
		{Verb: autobus.VerbPublish, Pattern: "*"}, {Verb: autobus.VerbSubscribe, Pattern: "*"},
		{Verb: autobus.VerbManage, Pattern: "*"}}}).(*wsBus)
	for _, c := range []struct {
		name    string
		end     func(*socket)
		attempt int // that comes after it
	}{
		{"goodbye", (*socket).goodbye, 1},
		{"cut", (*socket).cut, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), bustest.Patience)
			defer stop()
			sub := autobus.Subscription{Name: bustest.Prefix(), Create: &autobus.Policy{Types: []string{types.Work},
				Retry: autobus.RetryPolicy{Backoff: []autobus.Duration{autobus.Duration(time.Millisecond)}}}}
			first := make(chan autobus.Delivery, 1)
			opened := make(chan struct{}, 1)
			sub.Opened = func(autobus.Address) { opened <- struct{}{} }
			hear := func(f frame) {
				_, err := f.hear(ctx, &sub, func(_ context.Context, ds []autobus.Delivery) { first <- ds[0] })
				if err != nil && !f.disconnected() {
					t.Error(err)
				}
			}
			worker, err := dialSocket(ctx, s, client.token, hear)
			if err != nil {
				t.Fatal(err)
			}
			op, asked := subscribeMembers(&sub)
			if _, err := worker.ask(op, asked, hear); err != nil {
				t.Fatal(err)
			}
			await(ctx, t, opened)
			batch := &autobus.Batch{Events: []autobus.Event{{Type: types.Work, Data: []byte(`{"order":"closing"}`)}}}
			if err := client.Publish(ctx, batch); err != nil {
				t.Fatal(err)
			}
			before := await(ctx, t, first)
			c.end(worker)

			var after autobus.Delivery
			if err := client.Subscribe(ctx, autobus.Subscription{Name: sub.Name}, func(_ context.Context,
				ds []autobus.Delivery) {
				after = ds[0]
				stop()
			}); err != nil {
				t.Fatal(err)
			}
			if before.Attempt != 1 || after.Offset != before.Offset || after.Attempt != c.attempt {
				t.Errorf("after attempt %d of offset %d came attempt %d of offset %d, want attempt %d", before.Attempt,
					before.Offset, after.Attempt, after.Offset, c.attempt)
			}
		})
	}
}

func await[T any](ctx context.Context, t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-ctx.Done():
		t.Fatal("nothing came")
	}
	return v
}
