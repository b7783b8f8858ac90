// SPDX-License-Identifier: Apache-2.0

package push

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// TestOutcomesOfABatch: what is not named is done; what cannot be understood fails all.
func TestOutcomesOfABatch(t *testing.T) {
	ds := []*autobus.Delivery{{Event: autobus.Event{ID: "1", Source: "/a"}}, {Event: autobus.Event{ID: "2", Source: "/a"}},
		{Event: autobus.Event{ID: "2", Source: "/b"}}}
	const day = `"delay":"24h"`
	for _, c := range []struct {
		name, media string
		status      int
		body        string
		want        string // the kind of each outcome; "" = the answer tells none
		bad         string // what it is refused with
	}{
		{"status alone", "", 204, "", "", ""},
		{"a page", "text/html", 200, "<p>thank you", "", ""},
		{"empty", "application/json", 200, " ", "", ""},
		{"JSON of its own", "application/json", 200, `{"ok":true}`, "", ""},
		{"a list of its own", "application/json; charset=utf-8", 202, `[1]`, "", ""},
		{"all done", "application/json", 200, `{"outcomes":[]}`, "ack ack ack", ""},
		{"some", "application/json", 207, `{"outcomes":[{"id":"1","outcome":"retry","reason":"busy"},
			{"id":"2","source":"/b","outcome":"reject"}]}`, "retry ack reject", ""},
		{"each", "application/json", 200, `{"outcomes":[{"id":"2","source":"/b","outcome":"skip"},
			{"id":"2","source":"/a","outcome":"retry",` + day + `},{"id":"1","outcome":"ack","more":1}]}`, "ack retry skip", ""},
		{"nothing in 207", "", 207, "", "", "207 without outcomes"},
		{"another thing in 207", "application/json", 207, `{"ok":true}`, "", "207 without outcomes"},
		{"cut", "application/json", 200, `{"outcomes":[{"id":"1"`, "", "is none"},
		{"another form", "application/json", 200, `{"outcomes":{"1":"ack"}}`, "", "cannot be read"},
		{"a stranger", "application/json", 200, `{"outcomes":[{"id":"3","outcome":"ack"}]}`, "", "was not sent"},
		{"a strange source", "application/json", 200, `{"outcomes":[{"id":"1","source":"/b","outcome":"ack"}]}`, "",
			"was not sent"},
		{"no id", "application/json", 200, `{"outcomes":[{"outcome":"ack"}]}`, "", "was not sent"},
		{"either of two", "application/json", 200, `{"outcomes":[{"id":"2","outcome":"ack"}]}`, "", "several events"},
		{"twice", "application/json", 200, `{"outcomes":[{"id":"1","outcome":"ack"},{"id":"1","outcome":"retry"}]}`, "",
			"two outcomes"},
		{"no outcome", "application/json", 200, `{"outcomes":[{"id":"1"}]}`, "", `outcome ""`},
		{"extend", "application/json", 200, `{"outcomes":[{"id":"1","outcome":"extend"}]}`, "", `outcome "extend"`},
		{"delayed done", "application/json", 200, `{"outcomes":[{"id":"1","outcome":"ack",` + day + `}]}`, "", "a delay"},
		{"too long", "application/json", 200, `{"outcomes":[{"id":"1","outcome":"retry","delay":"169h"}]}`, "", "168h"},
		{"delay in numbers", "application/json", 200, `{"outcomes":[{"id":"1","outcome":"retry","delay":5}]}`, "",
			"cannot be read"},
		{"too large", "application/json", 200, strings.Repeat(" ", maxOutcomes(3)) + "{}", "", "more than"},
	} {
		es, ok, err := outcomes(http.Header{"Content-Type": {c.media}}, c.status, []byte(c.body), ds)
		if c.bad != "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%s: %v, want %q", c.name, err, c.bad)
			}
			continue
		}
		var kinds []string
		for _, e := range es {
			kinds = append(kinds, string(autobus.OutcomeOf(e).Kind))
		}
		if got := strings.Join(kinds, " "); err != nil || got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %t, %v, want %q", c.name, got, ok, err, c.want)
		}
	}
	es, _, err := outcomes(http.Header{"Content-Type": {"application/json"}}, 207,
		[]byte(`{"outcomes":[{"id":"1","outcome":"retry","delay":"10m","reason":"busy"}]}`), ds)
	if err != nil {
		t.Fatal(err)
	}
	if o := autobus.OutcomeOf(es[0]); o.Delay != 10*time.Minute || o.Reason != "busy" {
		t.Errorf("outcome %+v", o)
	}
}

// TestABatchThatIsPartlyDone: each event ends as the endpoint says, and what it asked for again comes alone.
func TestABatchThatIsPartlyDone(t *testing.T) {
	r := newRig(t, autobus.Policy{Order: autobus.OrderNone, Retry: autobus.RetryPolicy{MaxAttempts: 3},
		Delivery: autobus.PolicyDelivery{Push: &autobus.Push{Batch: &autobus.PushBatch{Events: 3}}}}, allowLoopback)
	say := func(status int, body string) {
		r.answers <- http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	say(http.StatusMultiStatus, `{"outcomes":[{"id":"e1","outcome":"retry","delay":"1ns","reason":"busy"},
		{"id":"e3","outcome":"reject","reason":"no such shop"}]}`)
	r.event("e1")
	r.event("e2")
	r.event("e3")
	r.run()
	r.next()
	again := r.next()
	r.bus.Idle(shop)
	if s := string(again.body); !strings.Contains(s, `"e1"`) || strings.Contains(s, `"e2"`) || len(r.calls) > 0 {
		t.Errorf("again came %s, and %d more", s, len(r.calls))
	}
	dead := r.bus.DeadLetters(shop)
	if len(dead) != 1 || dead[0].Event.ID != "e3" || dead[0].Reason != "no such shop" {
		t.Errorf("dead letters %+v", dead)
	}
}

// TestAnAnswerThatBreaksOffFailsItsBatch, because nobody knows what it would have said.
func TestAnAnswerThatBreaksOffFailsItsBatch(t *testing.T) {
	r := newRig(t, autobus.Policy{Order: autobus.OrderNone, Retry: autobus.RetryPolicy{MaxAttempts: 1},
		Delivery: autobus.PolicyDelivery{Push: &autobus.Push{Batch: &autobus.PushBatch{Events: 2}}}}, allowLoopback)
	r.answers <- http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"outcomes":[]}`))
	})
	r.event("e1")
	r.event("e2")
	r.run()
	r.next()
	r.bus.Idle(shop)
	if dead := r.bus.DeadLetters(shop); len(dead) != 2 || !strings.Contains(dead[0].Reason, "broke off") {
		t.Errorf("dead letters %+v", dead)
	}
}
