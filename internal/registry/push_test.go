// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

func push(t *testing.T, r instance, files spec.Files) Report {
	t.Helper()
	report, err := r.Push(t.Context(), files, "alice", "because")
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func names(s *spec.Snapshot) string {
	var out []string
	for _, t := range s.Types() {
		out = append(out, t.Name+"@"+t.Version)
	}
	return strings.Join(out, " ")
}

func topicsOf(t *testing.T, l *kafka.Log) []string {
	t.Helper()
	all, err := l.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(s string) bool { return strings.HasPrefix(s, "_") })
}

func TestPushBringsSpecsIntoForce(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	report := push(t, r, bundleOf("book", "order"))
	if got, want := names(r.Snapshot()), "orders.book.placed.v1@1.0.0 orders.order.placed.v1@1.0.0"; got != want {
		t.Fatalf("in force: %s, want %s", got, want)
	}
	if !report.Changed || len(report.Created) != 2 || len(report.Routes) != 2 || report.Specs != 2 ||
		report.Hash != r.Hash() || len(report.Drift) != 0 {
		t.Errorf("report %+v", report)
	}
	topics, err := l.Topics(t.Context(), "orders.order.placed.v1")
	topic := topics["orders.order.placed.v1"]
	if err != nil || topic.Partitions != 3 || topic.Replicas != 1 || topic.MinISR() != 1 || topic.Unclean() ||
		topic.Configs["retention.ms"] != defaultRetention {
		t.Errorf("topic %+v, %v", topic, err)
	}
	rec, ok := r.control.Get(control.KindRoute, "orders.order.placed.v1")
	route, err := control.Decode[control.Route](rec)
	want := control.Route{Type: "orders.order.placed.v1", Cluster: "main", Topic: "orders.order.placed.v1", Partitions: 3,
		Hash: "murmur2", Order: "key", Epoch: 1, MaxEventBytes: autobus.MaxEventBytes}
	if !ok || err != nil || route != want || rec.Actor != "alice" || rec.Reason != "because" {
		t.Errorf("route %+v by %q because %q, %v; want %+v", route, rec.Actor, rec.Reason, err, want)
	}
	// A restart has it all at once, before anything else runs.
	if again := start(t, l); names(again.Snapshot()) != names(r.Snapshot()) || again.Hash() != r.Hash() {
		t.Errorf("after a replay: %s", names(again.Snapshot()))
	}
}

func TestPushTwiceChangesNothing(t *testing.T) {
	r := start(t, broker(t))
	files := bundleOf("book", "order")
	files["events/orders/book.placed.v1.yaml"] = specFile("book", "1.0.0", "partitions: 2, replicas: 3, "+
		"topicConfiguration: {cleanup.policy: [delete, compact], retention.ms: 1000, min.insync.replicas: 2, "+
		"max.message.bytes: 9000}, bindingVersion: 0.5.0")
	push(t, r, files)
	end, snapshot := r.control.End(), r.Snapshot()
	report := push(t, r, files)
	if report.Changed || len(report.Created)+len(report.Altered)+len(report.Routes)+report.Specs != 0 {
		t.Errorf("report %+v", report)
	}
	if r.control.End() != end || r.Snapshot() != snapshot {
		t.Errorf("the second push wrote %d records", r.control.End()-end)
	}
}

func TestPushOfANewVersionAndOfFewerTypes(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	files := bundleOf("book", "order")
	push(t, r, files)
	old := r.Snapshot()
	files["events/orders/order.placed.v1.yaml"] = specFile("order", "1.1.0",
		"partitions: 3, topicConfiguration: {retention.ms: 1000}, bindingVersion: 0.5.0")
	delete(files, "events/orders/book.placed.v1.yaml")
	report := push(t, r, files)
	want := []Alteration{{"orders.order.placed.v1", "retention.ms", defaultRetention, "1000"}}
	if !slices.Equal(report.Altered, want) || report.Specs != 1 || len(report.Routes) != 0 || len(report.Created) != 0 {
		t.Errorf("report %+v", report)
	}
	if got := names(r.Snapshot()); got != "orders.order.placed.v1@1.1.0" {
		t.Errorf("in force: %s", got)
	}
	if old.Len() != 2 {
		t.Error("the snapshot before was changed")
	}
	// Data and its route stay.
	if _, ok := r.control.Get(control.KindRoute, "orders.book.placed.v1"); !ok || len(topicsOf(t, l)) != 2 {
		t.Errorf("route kept: %v, topics %v", ok, topicsOf(t, l))
	}
	// And come back: the records are all there already.
	if report := push(t, r, bundleOf("book", "order")); report.Specs != 0 || !report.Changed || r.Snapshot().Len() != 2 {
		t.Errorf("report %+v", report)
	}
}

func TestBadBundleChangesNothing(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	push(t, r, bundleOf("order"))
	end, snapshot := r.control.End(), r.Snapshot()
	count := bundleOf("order", "book")
	count["events/orders/order.placed.v1.yaml"] = specFile("order", "1.1.0", "partitions: 4, bindingVersion: 0.5.0")
	for name, files := range map[string]spec.Files{
		"not YAML":      {"a.yaml": []byte("{")},
		"another count": count,
		"too large":     {"a.yaml": append(specFile("book", "1.0.0", ""), []byte("# "+strings.Repeat("x", 1<<20))...)},
		"not UTF-8":     {"a.yaml": append(specFile("book", "1.0.0", ""), []byte("# \xff\n")...)},
	} {
		_, err := r.Push(t.Context(), files, "alice", "")
		var p spec.Problems
		if !has(err, autobus.ReasonSpecInvalid) || !errors.As(err, &p) || len(p) == 0 || p[0].File == "" {
			t.Errorf("%s: %v", name, err)
		}
		if r.control.End() != end || r.Snapshot() != snapshot || len(topicsOf(t, l)) != 1 {
			t.Errorf("%s: something was changed", name)
		}
	}
}

// Two instances come up with the same folder: each change is made once, and both end alike.
func TestConcurrentPushes(t *testing.T) {
	l := broker(t)
	const instances = 3
	files := bundleOf("book", "order", "pen", "cup")
	var rs [instances]instance
	for i := range rs {
		rs[i] = start(t, l)
	}
	var wg sync.WaitGroup
	for _, r := range rs {
		wg.Go(func() {
			if _, err := r.Push(t.Context(), files, "alice", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, r := range rs {
		if err := r.control.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.Hash() != rs[0].Hash() || names(r.Snapshot()) != names(rs[0].Snapshot()) || r.Snapshot().Len() != 4 {
			t.Errorf("instance %d: %s", i, names(r.Snapshot()))
		}
	}
	// Each record in force was written in the place of nothing: no second writer replaced it.
	for kind, want := range map[string]int{control.KindSpec: 4, control.KindRoute: 4, control.KindManifest: 1} {
		all := rs[0].control.All(kind)
		if len(all) != want {
			t.Errorf("%d records of kind %s, want %d", len(all), kind, want)
		}
		for _, rec := range all {
			if rec.Prev != control.None {
				t.Errorf("%s %s was written again", kind, rec.Name)
			}
		}
	}
}

// Two folders disagree about the partitions of new types: the first to make a topic decides, and no route ever names
// another count than its topic has.
func TestConcurrentPushesThatDisagree(t *testing.T) {
	l := broker(t)
	rs := []instance{start(t, l), start(t, l)}
	errs := make([]error, len(rs))
	var wg sync.WaitGroup
	for i, r := range rs {
		files := spec.Files{}
		for n := range 10 {
			noun := fmt.Sprintf("n%d", n)
			files[noun+".yaml"] = specFile(noun, "1.0.0", fmt.Sprintf("partitions: %d, bindingVersion: 0.5.0", i+2))
		}
		wg.Go(func() { _, errs[i] = r.Push(t.Context(), files, "alice", "") })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !has(err, autobus.ReasonSpecInvalid) {
			t.Error(err)
		}
	}
	if errs[0] == nil && errs[1] == nil {
		t.Error("both pushes went through")
	}
	topics, err := l.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := rs[0].control.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, rec := range rs[0].control.All(control.KindRoute) {
		route, err := control.Decode[control.Route](rec)
		if err != nil || route.Partitions != topics[route.Topic].Partitions {
			t.Errorf("route %+v, topic %+v, %v", route, topics[route.Topic], err)
		}
	}
}

// A topic that somebody made between plan and creation may look otherwise: no route before another look.
func TestLostRaceForATopicPlansAgain(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	n := kafka.NewTopic{Name: "orders.order.placed.v1", Partitions: 5, Replicas: 1}
	if _, err := l.CreateTopic(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	n.Partitions = 3
	var report Report
	err := r.provision(t.Context(), &bundle{}, &plan{create: []kafka.NewTopic{n}}, &report)
	if !errors.Is(err, errAgain) {
		t.Errorf("provision: %v, want to plan again", err)
	}
	if len(report.Created) != 0 {
		t.Errorf("report %+v", report)
	}
}

// What the brokers do not take is a fault of the spec, not of the bus.
func TestBrokersRefuseATopic(t *testing.T) {
	r := start(t, broker(t))
	b, err := readBundle(bundleOf("order"))
	if err != nil {
		t.Fatal(err)
	}
	n := kafka.NewTopic{Name: "orders.order.placed.v1", Partitions: 3, Replicas: 9}
	err = invalid(r.provision(t.Context(), b, &plan{create: []kafka.NewTopic{n}}, &Report{}))
	var p spec.Problems
	if !has(err, autobus.ReasonSpecInvalid) || !errors.As(err, &p) || p[0].File != "events/orders/order.placed.v1.yaml" ||
		!strings.Contains(p[0].Message, "REPLICATION_FACTOR") {
		t.Errorf("%v", err)
	}
}

// Different folders at once: the last one wins as a whole, none is lost half way.
func TestConcurrentDifferentPushes(t *testing.T) {
	l := broker(t)
	rs := [2]instance{start(t, l), start(t, l)}
	var wg sync.WaitGroup
	for i, r := range rs {
		for n := range 4 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				noun := fmt.Sprintf("n%d-%d", i, n)
				if _, err := r.Push(ctx, bundleOf(noun, "order"), "alice", ""); err != nil {
					t.Errorf("%s: %v", noun, err)
				}
			})
		}
	}
	wg.Wait()
	for _, r := range rs {
		if err := r.control.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if names(rs[0].Snapshot()) != names(rs[1].Snapshot()) || rs[0].Snapshot().Len() != 2 {
		t.Errorf("in force: %s and %s", names(rs[0].Snapshot()), names(rs[1].Snapshot()))
	}
	if rec, _ := rs[0].control.Get(control.KindRoute, "orders.order.placed.v1"); rec.Prev != control.None {
		t.Error("the route of the common type was written again")
	}
}

// What a newer build, or a fault, leaves in the log does not take this instance's specs away.
func TestUnusableManifestKeepsTheSnapshot(t *testing.T) {
	r := start(t, broker(t))
	push(t, r, bundleOf("order"))
	snapshot, hash := r.Snapshot(), r.Hash()
	change := func(version int, m control.Manifest) {
		t.Helper()
		rec, _ := r.control.Get(control.KindManifest, control.ManifestName)
		next, err := control.NewRecord(control.KindManifest, control.ManifestName, rec.Offset, m)
		if err != nil {
			t.Fatal(err)
		}
		next.Version = version
		if _, err := r.control.Change(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct { // the newer one first: no push of ours goes over it
		what     string
		version  int
		manifest control.Manifest
	}{
		{"newer", control.Version + 1, control.Manifest{}},
		{"no record", control.Version, control.Manifest{Files: []control.ManifestFile{{Path: "a.yaml", Hash: "0"}}}},
	} {
		change(c.version, c.manifest)
		if r.Snapshot() != snapshot || r.Hash() != hash || len(r.Problems()) == 0 {
			t.Errorf("%s: in force %s, problems %v", c.what, names(r.Snapshot()), r.Problems())
		}
	}
	// The next good push mends it, although its files are those in force.
	push(t, r, bundleOf("order"))
	if len(r.Problems()) != 0 || r.Hash() != hash {
		t.Errorf("problems %v", r.Problems())
	}
}

// Every build must go on reading what this one stores.
func TestStoredManifestIsStillRead(t *testing.T) {
	var stored struct {
		Spec     json.RawMessage `json:"spec"`
		Manifest json.RawMessage `json:"manifest"`
	}
	raw, err := os.ReadFile("testdata/stored.json")
	if err == nil {
		err = json.Unmarshal(raw, &stored)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, broker(t))
	var m control.Manifest
	if err := json.Unmarshal(stored.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	for _, rec := range []control.Record{
		{Version: 1, Kind: "spec", Name: m.Files[0].Hash, Prev: control.None, Value: stored.Spec},
		{Version: 1, Kind: "manifest", Name: "specs", Prev: control.None, Value: stored.Manifest},
	} {
		if _, err := r.control.Change(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(r.Snapshot()); got != "orders.order.placed.v1@1.0.0" || len(r.Problems()) != 0 {
		t.Fatalf("in force: %s, problems %v", got, r.Problems())
	}
	// What is written today is the same: pushing the file finds its record there.
	var file control.SpecFile
	if err := json.Unmarshal(stored.Spec, &file); err != nil {
		t.Fatal(err)
	}
	if report := push(t, r, spec.Files{file.Path: []byte(file.Content)}); report.Specs != 0 || report.Changed {
		t.Errorf("report %+v", report)
	}
}
