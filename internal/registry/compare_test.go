// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"reflect"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

func TestCompareTellsAndChangesNothing(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	push(t, r, bundleOf("book", "order"))
	if got, err := r.Compare(t.Context()); err != nil || !reflect.DeepEqual(got, Comparison{}) {
		t.Fatalf("%+v, %v", got, err)
	}
	const book, order = "orders.book.placed.v1", "orders.order.placed.v1"
	changed := map[string]string{"retention.ms": "1", "max.message.bytes": "1000"}
	if err := l.AlterTopic(t.Context(), order, changed); err != nil {
		t.Fatal(err)
	}
	if err := l.DeleteTopics(t.Context(), book); err != nil {
		t.Fatal(err)
	}
	end := r.control.End()
	got, err := r.Compare(t.Context())
	// The route is what would be written: an event must fit the topic as it is.
	if err != nil || !reflect.DeepEqual(got.Missing, []string{book}) || !reflect.DeepEqual(got.Routes, []string{order}) ||
		got.Faults != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if again := topicsOf(t, l); !reflect.DeepEqual(again, []string{order}) || r.control.End() != end {
		t.Errorf("topics %v, control log to %d, was %d", again, r.control.End(), end)
	}
}

// A route that cannot be read is a fault of its type alone.
func TestCompareGoesOnBesideANewerRoute(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	push(t, r, bundleOf("book", "order"))
	rec, _ := r.control.Get(control.KindRoute, "orders.book.placed.v1")
	rec.Prev, rec.Version = rec.Offset, control.Version+1
	if _, err := r.control.Change(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	got, err := r.Compare(t.Context())
	if err != nil || len(got.Faults) != 1 || got.Missing != nil || got.Routes != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// A manifest that a newer build wrote leaves in force what was, and says that there is more.
func TestANewerManifestIsNotGuessedAt(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	push(t, r, bundleOf("book"))
	if err := r.Unreadable(); err != nil {
		t.Fatal(err)
	}
	rec, _ := r.control.Get(control.KindManifest, control.ManifestName)
	rec.Prev, rec.Version = rec.Offset, control.Version+1
	if _, err := r.control.Change(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if err := r.Unreadable(); err == nil || err.Reason != autobus.ReasonTypeUnreadable || r.Snapshot().Len() != 1 {
		t.Errorf("%v, %d types in force", err, r.Snapshot().Len())
	}
	// After a restart nothing is in force, which is not the same as that there are no types.
	again := start(t, l)
	if err := again.Unreadable(); err == nil || again.Snapshot().Len() != 0 || len(again.Problems()) != 1 {
		t.Errorf("after a restart: %v, %d types in force", err, again.Snapshot().Len())
	}
	// It writes none over those that it cannot read, and starts all the same.
	end := r.control.End()
	if _, err := again.Push(t.Context(), bundleOf("book", "cup"), "alice", ""); !has(err, autobus.ReasonSpecInvalid) {
		t.Errorf("a push over newer specs: %v", err)
	}
	f := again.Folder(FolderConfig{Builtin: bundleOf("book"), Actor: "autobus:old"})
	if err := f.Load(t.Context()); err != nil {
		t.Errorf("a start below newer specs: %v", err)
	}
	if p := again.Problems(); len(p) != 2 || !strings.Contains(p[1].Hint, "newest version") {
		t.Errorf("problems %+v", p)
	}
	if now := r.control.End(); now != end || len(topicsOf(t, l)) != 1 {
		t.Errorf("the control log went from %d to %d, topics %v", end, now, topicsOf(t, l))
	}
}
