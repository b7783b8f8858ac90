// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

var update = flag.Bool("update", false, "write the golden file of what is stored anew")

// A golden file may be added, never changed: what is delayed outlives builds.
func TestDelayedRecordsStayReadable(t *testing.T) {
	due := time.UnixMilli(1_795_000_000_123).UTC()
	e := Entry{ID: "a.b.v1~x", Due: due, Since: due.Add(-time.Hour), Owner: "shop", Record: kafka.Record{Key: []byte("k"),
		Value: []byte("{}"), Headers: []kafka.Header{{Key: "ce_id", Value: []byte("e-1")}, {Key: "autobus-epoch",
			Value: []byte("1")}}}}
	r := e.record(due.Add(-time.Minute))
	var got bytes.Buffer
	fmt.Fprintf(&got, "%s %s", r.Key, r.Value)
	for _, h := range r.Headers {
		fmt.Fprintf(&got, " %s=%q", h.Key, h.Value)
	}
	m := marks{base: 40, next: 201}
	for _, o := range []int64{41, 43, 104, 200} {
		m.set(o)
	}
	fmt.Fprintf(&got, "\n%s\n", m.encode())
	file := filepath.Join("testdata", "delay.v1.txt")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("stored is\n%s\nnot\n%s", got.Bytes(), want)
	}
	back, ours, err := parse(&r)
	e.Record.Time = r.Time
	if err != nil || !ours || !reflect.DeepEqual(back, e) {
		t.Errorf("read back as %+v, %t, %v\nnot %+v", back, ours, err, e)
	}
	read, err := decodeMarks(40, m.encode())
	if err != nil || !read.has(41) || read.has(42) || !read.has(200) || read.has(201) {
		t.Errorf("marks are read as %+v, %v", read, err)
	}
}

func TestRecordsOfOthers(t *testing.T) {
	header := func(key, value string) kafka.Header { return kafka.Header{Key: key, Value: []byte(value)} }
	for name, c := range map[string]struct {
		headers []kafka.Header
		ours    bool
	}{
		"none":    {nil, false},
		"foreign": {[]kafka.Header{header("ce_id", "1"), header(headerID, "x")}, false},
		"newer":   {[]kafka.Header{header(headerForm, "2"), header(headerID, "x"), header(headerDue, "1")}, true},
		"no due":  {[]kafka.Header{header(headerForm, form), header(headerID, "x")}, true},
		"bad due": {[]kafka.Header{header(headerForm, form), header(headerID, "x"), header(headerDue, "soon")}, true},
		"no id":   {[]kafka.Header{header(headerForm, form), header(headerDue, "1")}, true},
	} {
		_, ours, err := parse(&kafka.Record{Headers: c.headers})
		if ours != c.ours || (err != nil) != c.ours {
			t.Errorf("%s: ours %t, %v", name, ours, err)
		}
	}
}
