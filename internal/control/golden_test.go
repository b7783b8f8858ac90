// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The stored forms outlive builds: what an older build wrote must be read for ever. A golden file may be added, never
// changed.
func TestStoredFormsStayReadable(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for name, value := range map[string]any{
		KindCluster:  ClusterValue{ID: "4TDMS7V3ZQG6", Name: "main"},
		KindSpec:     SpecFile{Path: "events/orders/order.placed.v1.yaml", Content: "asyncapi: 3.1.0\n"},
		KindManifest: Manifest{Files: []ManifestFile{{Path: "events/orders/order.placed.v1.yaml", Hash: "ab12"}}},
		KindRoute: Route{Type: "orders.order.placed.v1", Cluster: "main", Topic: "orders.order.placed.v1", Partitions: 12,
			Hash: "murmur2", Order: OrderKey, Epoch: 1, MaxEventBytes: 1_000_000, BestEffort: true, Unspecified: true},
		KindSubscription: Subscription{
			Policy: autobus.Policy{Types: []string{"orders.order.placed.v1", "refunds.*"},
				Filter: "data.country == params.country", Params: map[string]string{"country": "kz"},
				Start: autobus.Start{Earliest: true}, Order: autobus.OrderKey,
				Window: &autobus.Window{Events: 100, Bytes: 1 << 20}, AckWait: autobus.DefaultAckWait,
				Retry: autobus.RetryPolicy{Backoff: autobus.DefaultBackoff(), MaxAttempts: 8,
					MaxTime: autobus.Duration(24 * time.Hour)},
				OnExhausted: autobus.ToDeadLetters, Owner: "team-bob"},
			Positions: map[string]map[int32]int64{"orders.order.placed.v1": {0: 17, 11: 0}}, SeekEpoch: 2, Created: at},
		KindSubscription + "-topics": Subscription{Policy: autobus.Policy{Types: []string{"a.b.v1"}},
			Positions: map[string]map[int32]int64{"a.b.v1": {0: 17}}, Created: at,
			TopicIDs: map[string]string{"a.b.v1": "000102030405060708090a0b0c0d0e0f"}},
		KindJob: Job{Action: JobRedrive, Subscription: "bob-kz", Made: at, TopicID: "000102030405060708090a0b0c0d0e0f",
			End: 120, Numbers: []int64{3, 17}, IDs: []string{"e-1"}, Fingerprint: "9ae16a3b2f90404f",
			Filter: "data.total > 100", Count: 2, Sources: map[string]map[int32]int64{"orders.order.placed.v1": {11: 2}},
			Rate: 0.5, Actor: "ops", Reason: "a reason", Created: at, Canceled: true},
		KindJob + "-edit": Job{Action: JobEdit, Subscription: "bob-kz", TopicID: "000102030405060708090a0b0c0d0e0f",
			End: 18, Numbers: []int64{17}, Count: 1, Letter: 121, Created: at},
		KindSchema: Schema{ID: 7, Type: "JSON", Text: `{"type":"object"}`,
			References: []SchemaReference{{Name: "money.json", Subject: "money", Version: 2}}},
		KindSubject: Subject{Versions: []SubjectVersion{{Version: 1, ID: 7, Deleted: true},
			{Version: 2, ID: 9, Spec: "1.1.0"}}, SchemaSettings: SchemaSettings{Compatibility: "FULL"}},
		KindSchemaSettings: SchemaSettings{Compatibility: "FULL_TRANSITIVE", Policy: "LENIENT", Mode: "READONLY"},
		KindSubscription + "-surgery": Subscription{Policy: autobus.Policy{Types: []string{"a.b.v1"}}, Created: at,
			Positions: map[string]map[int32]int64{"a.b.v1": {0: 17}}, SeekEpoch: 2,
			Epochs: map[string]map[int32]uint32{"a.b.v1": {0: 41}},
			Paused: &Pause{Since: at, By: "ops", Why: "the depot is closed", Stopped: &Place{Topic: "a.b.v1", Offset: 20}},
			Skips:  []Place{{Topic: "a.b.v1", Offset: 18}, {Topic: "a.b.v1", Partition: 1, Offset: 3, Again: true, Change: 40}},
			Replays: []Replay{{Epoch: 42, From: map[string]map[int32]int64{"a.b.v1": {0: 5}},
				To: map[string]map[int32]int64{"a.b.v1": {0: 9}}, Key: new("k"), Start: at, End: at.Add(time.Hour), By: "ops",
				Why: "a bug", Created: at}}},
		KindSubscription + "-push": Subscription{Created: at, Positions: map[string]map[int32]int64{"a.b.v1": {0: 17}},
			Policy: autobus.Policy{Types: []string{"a.b.v1"}, Delivery: autobus.PolicyDelivery{Push: &autobus.Push{
				URL: "https://shop.example/events", SecretFile: "shop", Handshake: true, Batch: &autobus.PushBatch{Events: 50,
					Bytes: 1 << 16, Wait: autobus.Duration(time.Second)}}}}},
		KindToken: Token{ID: "k1", Principal: "checkout", Hash: "cd34", Created: at,
			Grants: []autobus.Grant{{Verb: autobus.VerbPublish, Pattern: "orders.*"}}},
		KindSecret: Secret{Key: []byte("0123456789abcdef")},
	} {
		t.Run(name, func(t *testing.T) {
			kind := name
			for _, form := range []string{"-topics", "-surgery", "-edit", "-push"} {
				kind = strings.TrimSuffix(kind, form)
			}
			r, err := NewRecord(kind, "the-name", 41, value)
			if err != nil {
				t.Fatal(err)
			}
			r.Offset, r.Actor, r.Reason, r.Time = 42, "ops", "a reason", at
			got, err := encode(r, "CHANGE")
			if err != nil {
				t.Fatal(err)
			}
			want := golden(t, fmt.Sprintf("%s.v%d.json", name, r.Version), got)
			read, change, err := decode(42, want)
			if err != nil || change != "CHANGE" || !reflect.DeepEqual(read, r) {
				t.Errorf("read back %+v (change %s, error %v), want %+v", read, change, err, r)
			}
			back := reflect.New(reflect.TypeOf(value))
			if err := json.Unmarshal(read.Value, back.Interface()); err != nil ||
				!reflect.DeepEqual(back.Elem().Interface(), value) {
				t.Errorf("value read back %+v, error %v", back.Elem().Interface(), err)
			}
		})
	}
}

// golden holds what this build writes against a golden file, and gives what the file has.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), got) {
		t.Errorf("this build writes\n%s\nthe golden file has\n%s", got, want)
	}
	return want
}

// The copy of a position is no control record and has a version of its own.
func TestPositionsStayReadable(t *testing.T) {
	least := Position{Version: PositionVersion, Offset: 4_294_967_296, SeekEpoch: 2, Incarnation: 7,
		Time: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}
	full := least
	full.TopicID = "000102030405060708090a0b0c0d0e0f"
	for name, want := range map[string]Position{"position": least, "position-topic": full} {
		got, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodePosition(golden(t, name+".v1.json", got)); err != nil || got != want {
			t.Errorf("read back %+v, error %v", got, err)
		}
	}
	if got := PositionKey("bob-kz", "orders.order.placed.v1", 11); got != "position/bob-kz/orders.order.placed.v1/11" {
		t.Errorf("its key is %s", got)
	}
}

// So is what an owner did for a job.
func TestJobProgressStaysReadable(t *testing.T) {
	want := JobProgress{Version: JobProgressVersion, Next: 118, Redriven: 40, Repeated: 2, Left: []int64{7, 9},
		Time: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Topic: "orders.order.placed.v1", Partition: 11, Incarnation: 7}
	got, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	stored := golden(t, "job-progress.v1.json", got)
	key := jobKey("j1", want)
	if key != "job/j1/orders.order.placed.v1/11/7" {
		t.Errorf("its key is %s", key)
	}
	if id, read, err := decodeJobProgress(key, stored); err != nil || id != "j1" || !reflect.DeepEqual(read, want) {
		t.Errorf("read back %+v of %s, error %v", read, id, err)
	}
	for key, raw := range map[string]string{key: `{"version":2}`, "job/j1": `{"version":1}`,
		"job/j1/t/x/1": `{"version":1}`, "job/j1/t/1/7": "{"} {
		if _, _, err := decodeJobProgress(key, []byte(raw)); err == nil {
			t.Errorf("%s %s was read", key, raw)
		}
	}
}
