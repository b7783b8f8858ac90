// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// bury has a worker reject n orders of alternating kinds of reasons.
func bury(t *testing.T, f *fixture, n int) *worker {
	t.Helper()
	f.put(t, "shop", autobus.Policy{Types: []string{orders}, Start: autobus.Start{Earliest: true}})
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	for i := range n {
		f.orders(t, 1, fmt.Sprint("k-", i))
		reason := fmt.Sprintf("id %d is out of range", 3_000_000_000+i)
		if i%3 == 2 {
			reason = fmt.Sprintf("no such article %q\nat line %d", fmt.Sprint("a-", i), i)
		}
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Reject, Reason: reason})
	}
	f.await(t, "dlq.shop", n)
	return w
}

// await waits until a topic has n records.
func (f *fixture) await(t *testing.T, topic string, n int) {
	t.Helper()
	eventually(t, topic, func() bool { return len(f.records(t, topic)) == n })
}

func TestDeadLettersAreTold(t *testing.T) {
	f := open(t)
	bury(t, f, 7)
	page, err := f.DeadLetters(f.ctx, "shop", bus.LetterQuery{Limit: 3})
	if err != nil || len(page.Letters) != 3 || page.Next == nil || *page.Next != 3 {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err = f.DeadLetters(f.ctx, "shop", bus.LetterQuery{From: *page.Next}); err != nil || len(page.Letters) != 4 ||
		page.Next != nil {
		t.Fatalf("%+v, %v", page, err)
	}
	l := page.Letters[0]
	if l.Number != 3 || l.Type != orders || l.Key != "k-3" || l.Topic != orders || l.Attempts != 1 || l.ID == "" ||
		l.Reason != "id 3000000003 is out of range" || l.First.IsZero() || l.Last.Before(l.First) || l.Event != nil {
		t.Errorf("%+v", l)
	}
	whole, err := f.DeadLetter(f.ctx, "shop", 3)
	if err != nil || whole.ID != l.ID {
		t.Fatalf("%+v, %v", whole, err)
	}
	if e, err := autobus.ParseEvent(whole.Event); err != nil || string(e.Data) != `{"id":"k-3","total":0}` {
		t.Errorf("the event is %s, %v", whole.Event, err)
	}
	if _, err := f.DeadLetter(f.ctx, "shop", 7); reasonOf(err) != autobus.ReasonDeadLetterUnknown {
		t.Errorf("one that is not there: %v", err)
	}
	for name, c := range map[string]struct {
		q    bus.LetterQuery
		want int
	}{
		"fingerprint":         {bus.LetterQuery{Fingerprint: l.Fingerprint}, 5},
		"another":             {bus.LetterQuery{Fingerprint: "0"}, 0},
		"filter":              {bus.LetterQuery{Filter: `data.id == "k-4"`}, 1},
		"both":                {bus.LetterQuery{Filter: `data.id in ["k-1", "k-2"]`, Fingerprint: l.Fingerprint}, 1},
		"behind all":          {bus.LetterQuery{From: 100}, 0},
		"a filter that fails": {bus.LetterQuery{Filter: `data.nowhere == 1`}, 7},
	} {
		page, err := f.DeadLetters(f.ctx, "shop", c.q)
		if err != nil || len(page.Letters) != c.want || page.Next != nil {
			t.Errorf("%s: %d letters, %v", name, len(page.Letters), err)
		}
	}
	_, err = f.DeadLetters(f.ctx, "shop", bus.LetterQuery{Filter: "1 +"})
	if reasonOf(err) != autobus.ReasonFilterInvalid {
		t.Errorf("a filter that is none: %v", err)
	}
}

func TestDeadLettersAreGrouped(t *testing.T) {
	f := open(t)
	bury(t, f, 7)
	g, err := f.DeadLetterGroups(f.ctx, "shop")
	if err != nil || g.Count != 7 || len(g.Groups) != 2 || g.Retention != "336h0m0s" || g.Oldest.After(g.Youngest) {
		t.Fatalf("%+v, %v", g, err)
	}
	if a, b := g.Groups[0], g.Groups[1]; a.Count != 5 || a.Example != 6 || a.Type != orders || b.Count != 2 ||
		!strings.HasPrefix(b.Reason, `no such article "a-5"`) || a.Fingerprint == b.Fingerprint {
		t.Errorf("%+v", g.Groups)
	}
}

// Looking takes a grant of its own, and there need not be any letters; they outlive their subscription.
func TestWhoMayLookAtDeadLetters(t *testing.T) {
	f := open(t)
	f.put(t, "drops", autobus.Policy{Types: []string{orders}, OnExhausted: autobus.Drop})
	if page, err := f.DeadLetters(f.ctx, "drops", bus.LetterQuery{}); err != nil || len(page.Letters) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
	if _, err := f.DeadLetters(f.ctx, "nobody", bus.LetterQuery{}); reasonOf(err) != autobus.ReasonSubscriptionUnknown {
		t.Errorf("an unknown subscription: %v", err)
	}
	bury(t, f, 1)
	if err := f.DeleteSubscription(f.ctx, "shop", bus.Audit{}); err != nil {
		t.Fatal(err)
	}
	if page, err := f.DeadLetters(f.ctx, "shop", bus.LetterQuery{}); err != nil || len(page.Letters) != 1 {
		t.Errorf("after its end: %+v, %v", page, err)
	}
	worker := as("w", autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: "*"},
		autobus.Grant{Verb: autobus.VerbPeek, Pattern: "other"})
	for name, look := range map[string]func(context.Context) error{
		"list":   func(ctx context.Context) error { _, err := f.DeadLetters(ctx, "shop", bus.LetterQuery{}); return err },
		"one":    func(ctx context.Context) error { _, err := f.DeadLetter(ctx, "shop", 0); return err },
		"groups": func(ctx context.Context) error { _, err := f.DeadLetterGroups(ctx, "shop"); return err },
	} {
		if err := look(worker); reasonOf(err) != autobus.ReasonForbidden {
			t.Errorf("%s without the grant: %v", name, err)
		}
		if err := look(context.Background()); reasonOf(err) != autobus.ReasonUnauthenticated {
			t.Errorf("%s by nobody: %v", name, err)
		}
	}
}

// What Spring and Connect wrote is understood, and what nobody can read is told all the same.
func TestDeadLettersOfOthers(t *testing.T) {
	f := open(t)
	bury(t, f, 1)
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	h := func(pairs ...string) (out []kafka.Header) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, kafka.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
		return out
	}
	for _, headers := range [][]kafka.Header{
		h("kafka_dlt-original-topic", "orders", "kafka_dlt-original-partition", "\x00\x00\x00\x03",
			"kafka_dlt-original-offset", "\x00\x00\x00\x00\x00\x00\x01\x02", "kafka_dlt-exception-fqcn", "java.lang.Error",
			"kafka_dlt-exception-message", "no stock"),
		h("__connect.errors.topic", "orders", "__connect.errors.partition", "3", "__connect.errors.offset", "258",
			"__connect.errors.exception.message", "no stock"),
		h("kafka_dlt-original-partition", "3", "__connect.errors.offset", "x", "autobus-dlq-last", "yesterday",
			"autobus-dlq-reason", "\xff"),
	} {
		rec := kafka.Record{TP: kafka.TP{Topic: "dlq.shop"}, Time: at, Key: []byte("k"), Value: []byte("\xff"),
			Headers: headers}
		if _, err := f.log.Write(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
	}
	page, err := f.DeadLetters(f.ctx, "shop", bus.LetterQuery{From: 1, Events: true})
	if err != nil || len(page.Letters) != 3 {
		t.Fatalf("%+v, %v", page, err)
	}
	for _, l := range page.Letters[:2] {
		if l.Topic != "orders" || l.Partition != 3 || l.Offset != 258 || l.Reason != "no stock" || l.Type != "orders" ||
			l.ID != "orders:3:258" || !l.Last.Equal(at) || l.Key != "k" {
			t.Errorf("%+v", l)
		}
	}
	if l := page.Letters[2]; l.Topic != "dlq.shop" || l.Reason != "\uFFFD" || !l.Last.Equal(at) || !json.Valid(l.Event) {
		t.Errorf("%+v", l)
	}
	if page.Letters[0].Fingerprint != page.Letters[1].Fingerprint {
		t.Error("the same reason has two fingerprints")
	}
}

// What retention takes soon is told, as long as nobody decided about it.
func TestLettersThatExpireAreTold(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := open(t, func(c *bus.Config, _ *kafka.Config) { c.Metrics = reg })
	bury(t, f, 3)
	f.put(t, "drops", autobus.Policy{Types: []string{orders}, OnExhausted: autobus.Drop})
	const kept = 14 * 24 * time.Hour
	for _, c := range []struct {
		after time.Duration
		want  int64
	}{{0, 0}, {kept - 25*time.Hour, 0}, {kept - 23*time.Hour, 3}} {
		f.LookForExpiring(f.ctx, time.Now().Add(c.after))
		got := f.Status().Expiring
		if c.want == 0 && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0].Subscription != "shop" || got[0].Count != c.want ||
			time.Until(got[0].From) < kept-time.Hour {
			t.Errorf("after %s: %+v", c.after, got)
		}
	}
	if n := counted(t, reg, "autobus_dead_letters_expiring"); n != 3 {
		t.Errorf("the metric is %v", n)
	}
	if _, _, err := f.Drop(f.ctx, "shop", numbers(0, 2), bus.Audit{}); err != nil {
		t.Fatal(err)
	}
	f.LookForExpiring(f.ctx, time.Now().Add(kept-time.Hour))
	if got := f.Status().Expiring; len(got) != 1 || got[0].Count != 1 {
		t.Errorf("after two were dropped: %+v", got)
	}
	if w := f.why(t); w.DeadLetters != 1 || !slices.ContainsFunc(w.Findings, func(f bus.WhyFinding) bool {
		return f.Check == "dead_letters" && strings.Contains(f.What, "has 1 dead letter")
	}) {
		t.Errorf("why counts %d dead letters, want the one that nobody dropped: %+v", w.DeadLetters, w.Findings)
	}
	if w := f.why(t); slices.ContainsFunc(w.Findings, expires) {
		t.Errorf("what is kept for two weeks more is told: %+v", w.Findings)
	}
}

// TestWhyTellsOfLettersThatExpire, as they are now and not as they were some minutes ago.
func TestWhyTellsOfLettersThatExpire(t *testing.T) {
	f := open(t)
	f.put(t, "shop", autobus.Policy{Types: []string{orders}})
	old := kafka.Record{TP: kafka.TP{Topic: "dlq.shop"}, Value: []byte("{}"),
		Time: time.Now().Add(time.Hour - 14*24*time.Hour)}
	if _, err := f.log.Write(f.ctx, old); err != nil {
		t.Fatal(err)
	}
	w := f.why(t)
	i := slices.IndexFunc(w.Findings, expires)
	if i < 0 || w.Findings[i].Where != "dlq.shop" || !strings.Contains(w.Findings[i].What, "deletes 1 dead letter that") ||
		!strings.Contains(w.Findings[i].What, time.Now().Add(time.Hour).UTC().Format("2006-01-02")) {
		t.Errorf("findings %+v", w.Findings)
	}
}

func expires(f bus.WhyFinding) bool { return f.Check == "dead_letters_expire" }

// TestNeglectedDelaysAreTold looks at a scheduled event as if it were a week later.
func TestNeglectedDelaysAreTold(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := open(t, func(c *bus.Config, _ *kafka.Config) { c.Metrics = reg })
	f.schedule(f.ctx, t, later("a", "one", time.Now().Add(time.Hour)))
	for after, want := range map[time.Duration]float64{24 * time.Hour: 0, 7 * 24 * time.Hour: 1} {
		f.LookForNeglected(f.ctx, time.Now().Add(after))
		got := f.Status().Delayed
		if n := counted(t, reg, "autobus_delayed_expiring"); n != want || len(got) != int(want) {
			t.Errorf("after %s: %+v, the metric is %v", after, got, n)
		}
	}
}
