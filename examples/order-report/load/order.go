// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// order is a flight as an order: the carrier is the merchant, a mile costs a dollar.
type order struct {
	ID       string `json:"order_id"`
	Merchant string `json:"merchant"`
	Day      string `json:"day"`
	Total    int    `json:"total"`
	end      string // completed or cancelled
}

func (o order) json() []byte {
	b, _ := json.Marshal(o) // strings and a number cannot fail
	return b
}

// readOrders makes an order of each row of a file of flights, as history.sql does for earlier years.
func readOrders(file string, year int) ([]order, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows := csv.NewReader(f)
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("read the header of %s: %w", file, err)
	}
	field := func(row []string, column string) string { return row[slices.Index(header, column)] }
	for _, column := range []string{"month", "day", "dep_time", "carrier", "distance"} {
		if !slices.Contains(header, column) {
			return nil, fmt.Errorf("%s has no column %s", file, column)
		}
	}
	var orders []order
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return orders, nil
		}
		if err != nil {
			return nil, err
		}
		o := order{ID: fmt.Sprintf("%d-%04d", year, len(orders)+1), Merchant: field(row, "carrier"), end: "completed"}
		month, err1 := strconv.Atoi(field(row, "month"))
		day, err2 := strconv.Atoi(field(row, "day"))
		total, err3 := strconv.Atoi(field(row, "distance"))
		if err1 != nil || err2 != nil || err3 != nil {
			return nil, fmt.Errorf("%s, row %d: month, day and distance have to be integers", file, len(orders)+1)
		}
		o.Day, o.Total = fmt.Sprintf("%d-%02d-%02d", year, month, day), total
		if field(row, "dep_time") == "NA" {
			o.end = "cancelled"
		}
		orders = append(orders, o)
	}
}

// gap is the time to the next event of a rate, if events know nothing of each other.
func gap(rate float64) time.Duration {
	return time.Duration(rand.ExpFloat64() / rate * float64(time.Second))
}

// times are how long calls took, by their name.
type times struct {
	mu   sync.Mutex
	took map[string][]time.Duration
}

func (t *times) add(name string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.took == nil {
		t.took = map[string][]time.Duration{}
	}
	t.took[name] = append(t.took[name], d)
}

// write prints a line for each kind of call.
func (t *times) write(w io.Writer) {
	for _, name := range []string{"place", "show", "close", "report"} {
		took := t.took[name]
		slices.Sort(took)
		fmt.Fprintf(w, "%s %d %s %s\n", name, len(took), percentile(took, 0.50), percentile(took, 0.99))
	}
}

// percentile is the smallest time that at least the share q of the sorted calls did not exceed, in milliseconds.
func percentile(sorted []time.Duration, q float64) string {
	if len(sorted) == 0 {
		return "-"
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return strconv.FormatFloat(float64(sorted[i])/float64(time.Millisecond), 'f', 1, 64)
}
