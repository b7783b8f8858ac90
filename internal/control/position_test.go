// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

func TestPositionsAreStoredAndRemoved(t *testing.T) {
	const topic = "orders.order.placed.v1"
	l := connect(t, broker(t))
	s := follow(t, state(t, l, slog.Default()))
	if _, ok, err := s.Position("bob", topic, 0); ok || err != nil {
		t.Errorf("before there is one: %t, %v", ok, err)
	}
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.FixedZone("", 3600))
	p := control.Position{Offset: 17, SeekEpoch: 1, Incarnation: 4, Time: at}
	for _, subscription := range []string{"bob", "bob-kz"} {
		for partition := range int32(2) {
			if err := s.PutPosition(t.Context(), subscription, topic, partition, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	barrier(t, s)
	got, ok, err := s.Position("bob", topic, 1)
	p.Version, p.Time = control.PositionVersion, at.UTC()
	if err != nil || !ok || got != p {
		t.Errorf("got %+v (%t, %v), want %+v", got, ok, err, p)
	}
	if err := s.RemovePositions(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	barrier(t, s)
	for partition := range int32(2) {
		if _, ok, _ := s.Position("bob", topic, partition); ok {
			t.Errorf("partition %d of bob is still there", partition)
		}
		if _, ok, _ := s.Position("bob-kz", topic, partition); !ok {
			t.Errorf("partition %d of another subscription is gone", partition)
		}
	}
}

func TestAPositionThatCannotBeReadIsNotGuessed(t *testing.T) {
	s := follow(t, state(t, connect(t, broker(t)), slog.Default()))
	for value, want := range map[string]string{
		`{"version":2,"offset":{"vector":[17]}}`: "version 2, this build reads up to 1",
		`{"offset":17}`:                          "no version",
		`{"version":1,"offset":-1}`:              "negative offset",
		`{"version":1,"offset":"17"}`:            "cannot unmarshal",
		`offset 17`:                              "invalid character",
		"":                                       "unexpected end",
	} {
		put(t, s, control.PositionKey("bob", "t", 0), value)
		barrier(t, s)
		p, ok, err := s.Position("bob", "t", 0)
		if reasonOf(err) != autobus.ReasonTypeUnreadable || ok || p != (control.Position{}) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %t, %v", value, p, ok, err)
		}
	}
}
