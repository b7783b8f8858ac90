// SPDX-License-Identifier: Apache-2.0

package table_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/examples/flights/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTableCountsEachEventOnce(t *testing.T) {
	var tab table.Table
	for _, e := range []struct {
		typ, id string
		f       table.Flight
	}{
		{table.Departed, "1", table.Flight{Carrier: "UA", DepDelay: 2}},
		{table.Departed, "2", table.Flight{Carrier: "AA", DepDelay: -12}},
		{table.Cancelled, "3", table.Flight{Carrier: "UA"}},
		{table.Departed, "1", table.Flight{Carrier: "UA", DepDelay: 2}},
	} {
		if err := tab.Add(e.typ, e.id, e.f); err != nil {
			t.Fatal(err)
		}
	}
	const want = `carrier    flights  cancelled  dep_delay
AA               1          0        -12
UA               2          1          2
all              3          1        -10
`
	var got strings.Builder
	if err := tab.Write(&got); err != nil || got.String() != want || tab.Events() != 3 {
		t.Errorf("%d events, %v\n%s", tab.Events(), err, got.String())
	}
}

func TestTableRefusesWhatIsNoFlight(t *testing.T) {
	var tab table.Table
	for _, e := range [][3]string{
		{"orders.order.placed.v1", "1", "UA"}, {table.Departed, "", "UA"}, {table.Cancelled, "1", ""},
	} {
		if err := tab.Add(e[0], e[1], table.Flight{Carrier: e[2]}); err == nil {
			t.Errorf("%v was counted", e)
		}
	}
}
