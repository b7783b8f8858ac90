// SPDX-License-Identifier: Apache-2.0

package desk_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/examples/refund/desk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const happened = "things.thing.happened.v1"

const schema = `CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)`

// at opens a desk whose service has a table of numbers, and relays until the end of the test.
func at(t *testing.T, file string, bus autobus.Bus) *desk.Desk {
	t.Helper()
	d, err := desk.Open(t.Context(), file, schema)
	if err != nil {
		t.Fatal(err)
	}
	d.Bus = bus
	ctx, cancel := context.WithCancel(t.Context())
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		d.Relay(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-relayed
		_ = d.DB.Close() // nothing is left to be written
	})
	return d
}

// tell notes a number and publishes it.
func tell(n int) func(tx *desk.Tx) error {
	return func(tx *desk.Tx) error {
		if _, err := tx.Do(`INSERT INTO numbers VALUES (?)`, n); err != nil {
			return err
		}
		return tx.Publish(happened, n, autobus.WithKey("k"))
	}
}

func TestAnEventIsHandledOnce(t *testing.T) {
	bus := autobustest.New(t)
	d := at(t, filepath.Join(t.TempDir(), "db"), bus)
	one, two := &autobus.Event{ID: "1", Source: "/s"}, &autobus.Event{ID: "2", Source: "/s"}
	late := errors.New("late")
	err := d.Once(t.Context(), one, func(tx *desk.Tx) error { return errors.Join(tell(1)(tx), late) })
	if !errors.Is(err, late) {
		t.Fatalf("a change that failed: %v", err)
	}
	for range 3 { // a change that failed has not happened
		if err := d.Once(t.Context(), one, tell(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Once(t.Context(), two, tell(1)); err == nil {
		t.Error("a number was noted twice")
	}
	if err := d.Once(t.Context(), two, tell(2)); err != nil {
		t.Fatal(err)
	}
	told(t, bus, "1", "2")
	var times int
	err = d.DB.QueryRowContext(t.Context(), `SELECT times FROM seen WHERE id = '1'`).Scan(&times)
	if err != nil || times != 3 {
		t.Errorf("event 1 came %d times, %v", times, err)
	}
}

// Rows are published in their order whatever fails, and those that a process left by its successor.
func TestTheOutboxIsPublishedInOrder(t *testing.T) {
	bus := autobustest.New(t)
	file := filepath.Join(t.TempDir(), "db")
	d, err := desk.Open(t.Context(), file, schema)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := d.Change(t.Context(), tell(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if got := bus.Published(happened); len(got) != 0 {
		t.Fatalf("without a relay %d events are published", len(got))
	}
	bus.FailPublish(nil, autobustest.Refuse(autobus.ReasonCapacity).Times(1))
	bus.FailPublish(nil, autobustest.LoseRequest().Times(1))
	d = at(t, file, bus)
	if err := d.Change(t.Context(), tell(3)); err != nil {
		t.Fatal(err)
	}
	told(t, bus, "0", "1", "2", "3")
}

func told(t *testing.T, bus *autobustest.Bus, want ...string) {
	t.Helper()
	got := bus.AwaitPublished(happened, len(want))
	for i, e := range got {
		if i >= len(want) || string(e.Data) != want[i] {
			t.Fatalf("published %d is %s, want %v", i, e.Data, want)
		}
	}
}
