// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadOrders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flights.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("month,day,dep_time,carrier,distance\n1,2,517,UA,1400\n12,31,NA,B6,80\n")
	orders, err := readOrders(file, 2012)
	if err != nil {
		t.Fatal(err)
	}
	want := []order{
		{ID: "2012-0001", Merchant: "UA", Day: "2012-01-02", Total: 1400, end: "completed"},
		{ID: "2012-0002", Merchant: "B6", Day: "2012-12-31", Total: 80, end: "cancelled"},
	}
	if len(orders) != 2 || orders[0] != want[0] || orders[1] != want[1] {
		t.Errorf("the orders are %v, want %v", orders, want)
	}
	for text, say := range map[string]string{
		"month,day,dep_time,carrier\n":                            "no column distance",
		"month,day,dep_time,carrier,distance\nx,2,517,UA,1400\n":  "row 1: month, day and distance",
		"month,day,dep_time,carrier,distance\n1,2,517,UA,1400,\n": "wrong number of fields",
		"": "read the header",
	} {
		write(text)
		if _, err := readOrders(file, 2012); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v, want %q", text, err, say)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Millisecond
	}
	for _, c := range []struct {
		sorted []time.Duration
		q      float64
		want   string
	}{
		{hundred, 0.5, "50.0"}, {hundred, 0.99, "99.0"}, {hundred[:1], 0.99, "1.0"}, {hundred[:3], 0.5, "2.0"},
		{nil, 0.5, "-"},
	} {
		if got := percentile(c.sorted, c.q); got != c.want {
			t.Errorf("%v of %d: %s, want %s", c.q, len(c.sorted), got, c.want)
		}
	}
}
