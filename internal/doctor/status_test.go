// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"testing"
)

func TestInstance(t *testing.T) {
	for _, c := range []struct {
		status       string
		check, where string
		severity     Severity
		what         string
	}{
		{`"ready": true, "version": "1.2.3", "mode": "serve"`, CheckInstance, "instance a", OK, "version 1.2.3, serve"},
		{`"not_ready": "starting"`, CheckInstance, "instance a", Problem, "not ready: starting"},
		{`"ready": true, "insecure": true`, CheckInstance, "instance a", Warning, "readable"},
		{`"ready": true, "cluster": {"error": "refused"}`, CheckInstance, "instance a", Problem, "refused"},
		{`"ready": true, "control": {"lag": 5000}`, CheckInstance, "instance a", Warning, "5000 records"},
		{`"ready": true, "embedded": {"dir": "d", "bytes": 10, "budget": 5, "disk_size": 9}`, CheckDisk, "d", Problem,
			"storage_full"},
		{`"ready": true, "routes": [{"type": "a.b.v1", "refused": "not_durable", "detail": "1 replica"}]`, CheckInstance,
			"type a.b.v1", Problem, "not_durable"},
		{`"ready": true, "specs": {"problems": [{"file": "f.yaml", "line": 3, "message": "no"}]}`, CheckInstance, "specs",
			Problem, "f.yaml:3: no"},
		{`"ready": true, "unreadable": [{"kind": "route", "name": "a.b.v1", "detail": "version 2"}]`, CheckVersions,
			"route a.b.v1", Problem, "version 2"},
		{`"ready": true, "dead_letters_expiring": [{"subscription": "shop", "count": 2, "from": "2026-11-28T10:00:00Z"}]`,
			CheckExpiry, "dlq.shop", Warning, "deletes 2 dead letters that nobody decided about, from 2026-11-28 10:00:00 on"},
	} {
		var s Status
		if err := json.Unmarshal([]byte(`{"instance": "a", `+c.status+`}`), &s); err != nil {
			t.Fatal(err)
		}
		all := Instance(s)
		f := found(t, all, c.check, c.where)
		if c.severity != OK { // behind the line that it runs
			for _, other := range all {
				if other.Check == c.check && other.Severity == c.severity {
					f = other
				}
			}
		}
		expect(t, f, c.severity, c.what)
	}
}

func TestVersions(t *testing.T) {
	if f := Versions(map[string]string{"a": "1.0", "b": "1.0"}); len(f) != 0 {
		t.Errorf("%+v", f)
	}
	expect(t, only(t, Versions(map[string]string{"a": "1.0", "b": "1.1", "c": "1.0"})), Warning, "a, c: 1.0, b: 1.1")
}

func TestTwins(t *testing.T) {
	if got := Twins([]Peer{{"a", "h1:7070"}, {"b", "h2:7070"}}); got != nil {
		t.Errorf("%+v", got)
	}
	got := Twins([]Peer{{"a", "h1:7070"}, {"a", "h2:7070"}, {"b", "h3:7070"}})
	expect(t, only(t, got), Problem, "several instances have this name, at h1:7070 and h2:7070")
}
