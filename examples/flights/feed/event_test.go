// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	slice  = "../flights-2000.csv"
	header = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum," +
		"origin,dest,air_time,distance,hour,minute,time_hour\n"
)

// file writes a CSV file with the header of the data set.
func file(t *testing.T, lines string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "flights.csv")
	if err := os.WriteFile(name, []byte(header+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// events makes the events of a whole file; f may look at each.
func events(t *testing.T, name string, f func(fields []string, e autobus.Event, key string)) error {
	t.Helper()
	in, err := openRows(name)
	if err != nil {
		return err
	}
	defer in.close()
	m := newMaker(in.columns)
	for {
		fields, _, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		e, key, err := m.event(fields)
		if err != nil {
			return err
		}
		f(fields, e, key)
	}
}

func TestRowBecomesEvent(t *testing.T) {
	const id = `"year":2013,"month":1,"day":2,`
	for name, c := range map[string]struct{ row, typ, key, time, data string }{
		"departed": {"2013,1,2,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-02T10:00:00Z",
			departed, "UA-1545", "2013-01-02T10:17:00Z",
			`{"flight_key":"UA-1545",` + id + `"dep_time":517,"sched_dep_time":515,"dep_delay":2,"arr_time":830,` +
				`"sched_arr_time":819,"arr_delay":11,"carrier":"UA","flight":1545,"tailnum":"N14228","origin":"EWR",` +
				`"dest":"IAH","air_time":227,"distance":1400,"hour":5,"minute":15,"time_hour":"2013-01-02T10:00:00Z"}`},
		"early, never arrived": {"2013,1,2,2359,5,-6,NA,819,NA,9E,3,NA,EWR,IAH,NA,1400,0,5,2013-01-02T05:00:00-05:00",
			departed, "9E-3", "2013-01-02T04:59:00-05:00",
			`{"flight_key":"9E-3",` + id + `"dep_time":2359,"sched_dep_time":5,"dep_delay":-6,"sched_arr_time":819,` +
				`"carrier":"9E","flight":3,"origin":"EWR","dest":"IAH","distance":1400,"hour":0,"minute":5,` +
				`"time_hour":"2013-01-02T05:00:00-05:00"}`},
		"cancelled": {"2013,1,2,NA,515,NA,NA,819,NA,UA,1545,NA,EWR,IAH,NA,1400,5,15,2013-01-02T10:00:00Z",
			cancelled, "UA-1545", "2013-01-02T10:15:00Z",
			`{"flight_key":"UA-1545",` + id + `"sched_dep_time":515,"sched_arr_time":819,"carrier":"UA","flight":1545,` +
				`"origin":"EWR","dest":"IAH","distance":1400,"hour":5,"minute":15,"time_hour":"2013-01-02T10:00:00Z"}`},
		// A contradiction in the file is for the spec to refuse, not for the feed to hide.
		"cancelled with a delay": {"2013,1,2,NA,515,7,NA,819,NA,UA,1,NA,EWR,IAH,NA,1400,5,15,2013-01-02T10:00:00Z",
			cancelled, "UA-1", "2013-01-02T10:22:00Z",
			`{"flight_key":"UA-1",` + id + `"sched_dep_time":515,"dep_delay":7,"sched_arr_time":819,"carrier":"UA",` +
				`"flight":1,"origin":"EWR","dest":"IAH","distance":1400,"hour":5,"minute":15,` +
				`"time_hour":"2013-01-02T10:00:00Z"}`},
		"quoted": {`2013,1,2,NA,515,NA,NA,819,NA,UA,1,"N""1, 2",EWR,"IAH",NA,1400,5,15,2013-01-02T10:00:00Z`,
			cancelled, "UA-1", "2013-01-02T10:15:00Z",
			`{"flight_key":"UA-1",` + id + `"sched_dep_time":515,"sched_arr_time":819,"carrier":"UA","flight":1,` +
				`"tailnum":"N\"1, 2","origin":"EWR","dest":"IAH","distance":1400,"hour":5,"minute":15,` +
				`"time_hour":"2013-01-02T10:00:00Z"}`},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			err := events(t, file(t, c.row+"\n"), func(_ []string, e autobus.Event, key string) {
				n++
				if e.Type != c.typ || key != c.key || string(e.Data) != c.data ||
					e.Time.Format("2006-01-02T15:04:05Z07:00") != c.time || e.Source == "" || len(e.ID) != 32 {
					t.Errorf("%s %s %s %s %q\ndata %s\nwant %s", e.Type, key, e.Time, e.Source, e.ID, e.Data, c.data)
				}
			})
			if err != nil || n != 1 {
				t.Errorf("%d events, %v", n, err)
			}
		})
	}
}

func TestRowThatIsNoFlight(t *testing.T) {
	const good = "2013,1,2,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-02T10:00:00Z"
	for name, row := range map[string]string{
		"a word":        strings.Replace(good, "1400", "far", 1),
		"an empty one":  strings.Replace(good, "1400", "", 1),
		"a fraction":    strings.Replace(good, "1400", "1.5", 1),
		"a lost zero":   strings.Replace(good, "1400", "01400", 1),
		"a plus":        strings.Replace(good, "1400", "+1400", 1),
		"no time":       strings.Replace(good, "2013-01-02T10", "2013-01-02 10", 1),
		"NA time":       strings.Replace(good, "2013-01-02T10:00:00Z", "NA", 1),
		"a field less":  strings.Replace(good, "1400,", "", 1),
		"a field more":  good + ",1",
		"a late minute": strings.Replace(good, ",15,", ",x,", 1),
	} {
		if err := events(t, file(t, row+"\n"), func([]string, autobus.Event, string) {}); err == nil {
			t.Errorf("%s: no error for %s", name, row)
		}
	}
}

// Nothing but NA is lost: the rows can be made again from the events.
func TestEventsHoldTheWholeFile(t *testing.T) {
	ids, na := map[string]bool{}, map[string]bool{}
	kinds := map[string]int{}
	columns := strings.Split(strings.TrimSpace(header), ",")
	err := events(t, slice, func(fields []string, e autobus.Event, key string) {
		ids[e.ID] = true
		kinds[e.Type]++
		var data map[string]any
		dec := json.NewDecoder(strings.NewReader(string(e.Data)))
		dec.UseNumber()
		if err := dec.Decode(&data); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		back := make([]string, len(columns))
		for i, c := range columns {
			switch v := data[c].(type) {
			case nil:
				back[i] = "NA"
				na[c] = true
			case string:
				back[i] = v
			case json.Number:
				back[i] = v.String()
			default:
				t.Fatalf("%s is %v in %s", c, v, e.Data)
			}
			delete(data, c)
		}
		if got, want := strings.Join(back, ","), strings.Join(fields, ","); got != want {
			t.Errorf("event %s\nrow   %s", got, want)
		}
		if len(data) != 1 || data["flight_key"] != key {
			t.Errorf("beside the row the event has %v, want flight_key %s", data, key)
		}
	})
	if err != nil || len(ids) != 2000 || kinds[cancelled] == 0 || !na["arr_delay"] || !na["tailnum"] {
		t.Errorf("%d different ids, types %v, NA in %v, %v", len(ids), kinds, na, err)
	}
}

func TestIDsAreStable(t *testing.T) {
	const a = "2013,1,2,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-02T10:00:00Z\n"
	b := strings.Replace(a, "N14228", "N14229", 1)
	ids := func(lines string) (out []string) {
		err := events(t, file(t, lines), func(_ []string, e autobus.Event, _ string) { out = append(out, e.ID) })
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	got := ids(a + b + a)
	if got[0] == got[1] || got[0] == got[2] {
		t.Errorf("different rows, equal ids: %v", got)
	}
	// The same content has the same id elsewhere in the file, with quotes, and in another run.
	again := ids(b + strings.Replace(a, "UA", `"UA"`, 1) + a)
	if again[0] != got[1] || again[1] != got[0] || again[2] != got[2] {
		t.Errorf("ids %v, then %v", got, again)
	}
	if moved := ids(strings.Replace(a, "1545,N14228", "154,5N14228", 1)); moved[0] == got[0] {
		t.Error("the border between two fields does not count")
	}
}

func TestOpenRows(t *testing.T) {
	dir := t.TempDir()
	write := func(name, inside, text string) string {
		p := filepath.Join(dir, name)
		f, err := os.Create(p)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if inside == "" {
			_, err = f.WriteString(text)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		z := zip.NewWriter(f)
		w, err := z.Create(inside)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const row = "2013,1,2,NA,515,NA,NA,819,NA,UA,1,NA,EWR,IAH,NA,1400,5,15,2013-01-02T10:00:00Z\n"
	n := 0
	zipped := write("a.zip", "flights.csv", header+row)
	if err := events(t, zipped, func([]string, autobus.Event, string) { n++ }); err != nil || n != 1 {
		t.Errorf("zip: %d events, %v", n, err)
	}
	for name, p := range map[string]string{
		"missing": filepath.Join(dir, "none.csv"), "empty": write("b.csv", "", ""), "no zip": write("c.zip", "", header),
		"no csv in it": write("d.zip", "flights.txt", header), "other columns": write("e.csv", "", "a,b\n1,2\n"),
	} {
		if _, err := openRows(p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
