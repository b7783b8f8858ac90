// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"fmt"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// TestDelayOnKafka has real brokers keep records: what is due soon is released, and a tier counts from when the brokers
// got a record, whatever time that record claims. The embedded broker takes the record's word.
func TestDelayOnKafka(t *testing.T) {
	log := bustest.Cluster(t).Open(t)
	s := newStationOf(t, fmt.Sprintf("_autobus.test.%d", time.Now().UnixNano()), log)
	defer func() {
		var names []string
		for _, tier := range s.cfg.tiers() {
			names = append(names, tier.topic)
		}
		if err := log.DeleteTopics(t.Context(), names...); err != nil {
			t.Error(err)
		}
	}()
	stop := s.work(t)
	defer stop()
	if err := s.Ready(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	s.keep(t, "soon", time.Now().Add(time.Second))
	if e := s.next(t); e.ID != "soon" {
		t.Errorf("released %s", e.ID)
	}
	began := time.Now()
	e := Entry{ID: "slow", Due: RoundDue(began.Add(time.Hour)), Since: began, Owner: "tester"}
	r := s.Record(e)
	r.Time = began.Add(-24 * time.Hour)
	at, err := log.Write(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := log.Follow(map[kafka.TP]int64{r.TP: at})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	records, err := reader.Poll(t.Context())
	if err != nil || len(records) == 0 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	if age := time.Since(records[0].Time); age > time.Hour || age < -time.Minute {
		t.Errorf("the record of %s has the time %s: the tier would not hold it", r.TP.Topic, records[0].Time)
	}
	var left []string
	if err := s.Each(t.Context(), func(e Entry) bool { left = append(left, e.ID); return true }); err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left[0] != "slow" {
		t.Errorf("kept are %q", left)
	}
}
