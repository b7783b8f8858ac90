// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// What a newer spec accepts is not refused by an instance that has not heard of it yet; what none accepts is refused.
func TestANewFieldIsLookedForInTheControlLog(t *testing.T) {
	older, err := spec.Parse(spec.Files{"order.yaml": []byte(strings.Replace(orderSpec, ", note: {type: string}", "", 1))})
	if err != nil {
		t.Fatal(err)
	}
	f := openBehind(t, older)
	noted := autobus.Event{Type: orders, Data: []byte(`{"id":"1","total":1,"note":"n"}`)}
	if rc := f.one(t, noted); rc.Status != autobus.Written {
		t.Errorf("receipt %+v", rc)
	}
	noted.Data = []byte(`{"id":"1","total":1,"colour":"red"}`)
	if rc := f.one(t, noted); reason(rc) != autobus.ReasonDataInvalid || len(rc.Err.Faults) != 1 {
		t.Errorf("receipt %+v", rc)
	}
}

// openBehind opens an instance that has heard of its specs only in a record that waits in the control log, and until it
// has read that knows those before. It reads on once they were looked at.
func openBehind(t *testing.T, before *spec.Snapshot) *fixture {
	t.Helper()
	var made atomic.Bool
	looked, look := make(chan struct{}), sync.Once{}
	f := open(t, func(c *bus.Config, _ *kafka.Config) {
		newer := c.Snapshot()
		c.Snapshot = func() *spec.Snapshot {
			defer look.Do(func() { close(looked) })
			if made.Load() {
				return newer
			}
			return before
		}
	})
	other, err := control.Open(t.Context(), f.log, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error)
	go func() { ran <- other.Run(ctx) }()
	f.control.Watch("thing", func(control.Record) {
		<-looked // the record is applied here only after the first look, which must not be the last
		made.Store(true)
	})
	rec, err := control.NewRecord("thing", "made", control.None, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Change(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return f
}
