// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

const (
	source    = "/examples/flights"
	departed  = "flights.flight.departed.v1"
	cancelled = "flights.flight.cancelled.v1"
	na        = "NA" // how the file says that there is no value
)

// texts are the columns that are no integers.
var texts = []string{"carrier", "tailnum", "origin", "dest", "time_hour"}

// maker makes events of rows.
type maker struct {
	columns []string
	at      map[string]int // place of each column
	twins   map[[sha256.Size]byte]int
}

func newMaker(columns []string) *maker {
	m := &maker{columns: columns, at: map[string]int{}, twins: map[[sha256.Size]byte]int{}}
	for i, c := range columns {
		m.at[c] = i
	}
	return m
}

// event makes the event of a row and the key of its order. The fields keep their order; NA is left away, and there is
// one field more, flight_key.
func (m *maker) event(fields []string) (e autobus.Event, key string, err error) {
	e = autobus.Event{ID: m.id(fields), Source: source, Type: departed}
	if m.field(fields, "dep_time") == na {
		e.Type = cancelled
	}
	if e.Time, err = m.time(fields); err != nil {
		return e, "", err
	}
	key = m.field(fields, "carrier") + "-" + m.field(fields, "flight")
	e.Data = append(e.Data, `{"flight_key":`...)
	e.Data = autobus.AppendString(e.Data, key)
	for i, c := range m.columns {
		if fields[i] == na {
			continue
		}
		e.Data = append(e.Data, ',')
		e.Data = autobus.AppendString(e.Data, c)
		e.Data = append(e.Data, ':')
		if slices.Contains(texts, c) {
			e.Data = autobus.AppendString(e.Data, fields[i])
			continue
		}
		if n, err := strconv.Atoi(fields[i]); err != nil || strconv.Itoa(n) != fields[i] {
			return e, "", fmt.Errorf("%s is %q, not an integer", c, fields[i])
		}
		e.Data = append(e.Data, fields[i]...)
	}
	e.Data = append(e.Data, '}')
	return e, key, nil
}

// id is the same whenever and wherever a row of this content comes, so that a second run repeats ids instead of events.
// Rows that are truly equal are different events all the same: the second one's id says that it is the second.
func (m *maker) id(fields []string) string {
	sum := sha256.Sum256([]byte(strings.Join(fields, "\x1f")))
	m.twins[sum]++
	id := hex.EncodeToString(sum[:16])
	if n := m.twins[sum]; n > 1 {
		id += "-" + strconv.Itoa(n)
	}
	return id
}

// time is when the flight departed or, when it was cancelled, should have: the scheduled hour and minute plus the
// delay. Unlike the local times of the file it needs no time zone.
func (m *maker) time(fields []string) (time.Time, error) {
	hour, err := time.Parse(time.RFC3339, m.field(fields, "time_hour"))
	if err != nil {
		return time.Time{}, fmt.Errorf("time_hour: %w", err)
	}
	var minutes int
	for _, c := range []string{"minute", "dep_delay"} {
		v := m.field(fields, c)
		if v == na {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s is %q, not an integer", c, v)
		}
		minutes += n
	}
	return hour.Add(time.Duration(minutes) * time.Minute), nil
}

func (m *maker) field(fields []string, column string) string { return fields[m.at[column]] }
