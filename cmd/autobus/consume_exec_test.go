// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// While a command works its lease is renewed; when it is taken away, the command is told to stop, and nothing is
// settled.
func TestLeaseOfACommand(t *testing.T) {
	for _, lost := range []bool{false, true} {
		b := startFakeBus(t)
		dir := t.TempDir()
		stop := filepath.Join(dir, "stop")
		stderr, end := consuming(t, b, "--exec", "trap 'echo told; exit 0' TERM; touch "+dir+"/began; while [ ! -e "+stop+
			" ]; do sleep 0.02; done; echo done")
		if lost {
			b.answer = func(results []ack) string { return answerOf(results, "stale") }
		}
		b.frames <- deliveries(0, 1)
		extended := <-b.acked
		if extended[0].Outcome != autobus.Extend || extended[0].Lease != "l0" {
			t.Fatalf("got %v", extended)
		}
		want, sum := "done\n", "1 acked, 0 to come again, 0 rejected\n"
		if lost {
			want, sum = "told\n", "0 acked, 0 to come again, 0 rejected\n"
		} else if err := os.WriteFile(stop, nil, 0o600); err != nil {
			t.Fatal(err)
		} else {
			for extended[0].Outcome == autobus.Extend {
				extended = <-b.acked
			}
		}
		if lost {
			eventually(t, "the command is told", func() bool { return strings.Contains(stderr.String(), "taken away") })
		}
		code, out := end()
		if _, err := os.Stat(filepath.Join(dir, "began")); err != nil {
			t.Error(err)
		}
		if code != exitOK || out != want || !strings.HasSuffix(stderr.String(), sum) {
			t.Errorf("lost %t: exit status %d, stdout %s, stderr %s", lost, code, out, stderr)
		}
	}
}

// No more commands run at a time than the window says, and no fewer.
func TestCommandsSideBySide(t *testing.T) {
	b := startFakeBus(t)
	dir := t.TempDir()
	_, end := consuming(t, b, "--window", "2", "--exec", "touch "+dir+"/$AUTOBUS_ID; while [ ! -e "+dir+
		"/stop ]; do sleep 0.02; done")
	began := func() int {
		names, err := filepath.Glob(dir + "/e*")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	b.frames <- deliveries(0, 3) // one more than was asked for
	eventually(t, "two commands", func() bool { return began() == 2 })
	for range 2 { // they are at it for two renewals of all three leases
		if got := <-b.acked; len(got) != 3 {
			t.Errorf("%d leases are renewed", len(got))
		}
	}
	if n := began(); n != 2 {
		t.Errorf("%d commands run", n)
	}
	if err := os.WriteFile(dir+"/stop", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the third command", func() bool { return began() == 3 })
	if code, _ := end(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

// An event is shown to its command as it is, as far as an environment can hold it.
func TestEnvironmentOfACommand(t *testing.T) {
	b := startFakeBus(t)
	base, err := newAPI(b.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	c := newConsumer(&consumeFlags{app: &app{}, group: "g"}, base, "", time.Second)
	for line, want := range map[string]string{
		`{"key":"k 1","event":{"id":"a\u0000b"}}`:   "AUTOBUS_ID=ab AUTOBUS_KEY=k 1",
		`{"key":"a\u0000b","event":{"id":"a"}}`:     "AUTOBUS_ID=a AUTOBUS_KEY_BASE64=YQBi",
		`{"key_base64":"/g==","event":{"id":"a"}}`:  "AUTOBUS_ID=a AUTOBUS_KEY_BASE64=/g==",
		`{"key":"","event":{"id":"a"}}`:             "AUTOBUS_ID=a AUTOBUS_KEY=",
		`{"unspecified":true,"event":{"id":"x:1"}}`: "AUTOBUS_ID=x:1",
	} {
		j := &job{}
		if err := json.Unmarshal([]byte(line), &j.delivery); err != nil {
			t.Fatal(err)
		}
		if j.body, err = j.read(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range c.environment(j) {
			if strings.HasPrefix(v, "AUTOBUS_ID=") || strings.HasPrefix(v, "AUTOBUS_KEY") {
				got = append(got, v)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s gives %q, want %q", line, got, want)
		}
	}
}
