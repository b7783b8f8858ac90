// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// stored adds the golden files whose names match as seeds.
func seeds(f *testing.F, pattern string, but ...string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.TrimSpace(raw))
	}
	for _, raw := range but {
		f.Add([]byte(raw))
	}
}

// FuzzRecord: whatever stands in the control log is a record that can be written again as it was read, or none. Its
// value is one of its kind or an error.
func FuzzRecord(f *testing.F) {
	seeds(f, "*.v*.json", `{"version":4,"kind":"route","name":"x","value":{}}`, `{"version":1,"kind":"route","name":"x"}`,
		`{"version":1,"kind":"token","name":"x","value":null}`, `{}`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, change, err := decode(7, raw)
		if err != nil {
			return
		}
		for _, read := range []func() error{
			func() error { _, err := Decode[Route](r); return err },
			func() error { _, err := Decode[Subscription](r); return err },
			func() error { _, err := Decode[Token](r); return err },
			func() error { _, err := Decode[Manifest](r); return err },
			func() error { _, err := Decode[SpecFile](r); return err },
			func() error { _, err := Decode[ClusterValue](r); return err },
		} {
			if err := read(); err == nil && r.Version > Version {
				t.Errorf("version %d was guessed at", r.Version)
			}
		}
		if y := r.Time.UTC().Year(); y < 0 || y > 9999 {
			return // cannot be written, and no build did
		}
		written, err := encode(r, change)
		if err != nil {
			t.Fatal(err)
		}
		again, same, err := decode(7, written)
		if err != nil || same != change || again.Kind != r.Kind || again.Name != r.Name || again.Prev != r.Prev {
			t.Errorf("%s became %s: %v", raw, written, err)
		}
	})
}

// FuzzPosition: what cannot be read as a position counts for nothing, above all not for a smaller version.
func FuzzPosition(f *testing.F) {
	seeds(f, "position*.v1.json", `{"version":2}`, `{"version":1,"offset":-1}`, `{"version":0}`, `[]`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodePosition(raw)
		if err != nil {
			return
		}
		if p.Version < 1 || p.Version > PositionVersion || p.Offset < 0 {
			t.Errorf("%s is %+v", raw, p)
		}
		if _, err := json.Marshal(p); err != nil {
			t.Log(err) // a year that cannot be written was never written
		}
	})
}

// FuzzJobProgress: what cannot be read of a job's progress counts for nothing; what can has the key it was read from.
func FuzzJobProgress(f *testing.F) {
	key := jobKey("j1", JobProgress{Topic: "a.b.v1", Partition: 3, Incarnation: 7})
	f.Add(key, []byte(`{"version":1,"next":9,"redriven":4,"left":[2]}`))
	f.Add(key, []byte(`{"version":2}`))
	f.Add("job/j1/a.b.v1/2147483648/-1", []byte(`{"version":1}`))
	f.Add("job/j1", []byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, key string, raw []byte) {
		id, p, err := decodeJobProgress(key, raw)
		if err != nil {
			return
		}
		again, same, err := decodeJobProgress(jobKey(id, p), raw)
		if err != nil || again != id || same.Topic != p.Topic || same.Partition != p.Partition ||
			same.Incarnation != p.Incarnation {
			t.Errorf("%s became %s %+v, %v", key, again, same, err)
		}
	})
}
