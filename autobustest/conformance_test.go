// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// TestConformance holds the bus in memory to what the real one does.
func TestConformance(t *testing.T) {
	bustest.Exercise(t, target, bustest.Features{
		NoBreaker:    "a test says what fails, and wants to see it fail",
		NoDurability: "it keeps nothing beyond the test",
		NoLog:        "it keeps events, not records",
		NoFilter:     "filters are functions of the test's, given beforehand",
		NoCEL:        "filters are functions of the test's",
		NoAPI:        "operators are the bus's business",
		NoSchedules:  "a test has a clock of its own",
		NoPush:       "specs are those that it was made with",
	})
}

func target(t *testing.T, specs map[string][]byte) bustest.Target {
	fsys := fstest.MapFS{}
	for name, text := range specs {
		fsys[name] = &fstest.MapFile{Data: text}
	}
	field := func(e *autobus.Event, name string) string {
		_, rest, _ := strings.Cut(string(e.Data), `"`+name+`":`)
		return strings.Trim(rest[:max(0, strings.IndexAny(rest, ",}"))], `"`)
	}
	all := func(*autobus.Event, map[string]string) bool { return true }
	b := autobustest.New(t, autobustest.SpecsFS(fsys),
		autobustest.Filter("key == params.key", func(e *autobus.Event, params map[string]string) bool {
			return string(e.Key) == params["key"]
		}),
		autobustest.Filter("data.order == params.mine && data.n >= 3",
			func(e *autobus.Event, params map[string]string) bool {
				n, _ := strconv.Atoi(field(e, "n"))
				return field(e, "order") == params["mine"] && n >= 3
			}),
		autobustest.Filter("data.note.size() > 3", all), autobustest.Filter("true", all))
	stop := func() {}
	return bustest.Target{
		Bus:  b,
		As:   func(_ testing.TB, p autobus.Principal) autobus.Bus { return acting{b, p} },
		Read: func(t testing.TB, topics ...string) []kafka.Record { return records(t, b, topics) },
		Full: func(full bool) {
			if stop(); full {
				stop = b.FailPublish(nil, autobustest.Refuse(autobus.ReasonStorageFull))
			}
		},
	}
}

// acting is the bus for one principal.
type acting struct {
	*autobustest.Bus
	who autobus.Principal
}

func (a acting) Publish(ctx context.Context, b *autobus.Batch) error {
	return a.Bus.Publish(autobus.WithPrincipal(ctx, a.who), b)
}

func (a acting) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	return a.Bus.Subscribe(autobus.WithPrincipal(ctx, a.who), s, h)
}

func (a acting) Settle(ctx context.Context, ss []autobus.Settlement) error {
	return a.Bus.Settle(autobus.WithPrincipal(ctx, a.who), ss)
}

// records writes what the bus keeps in the form that the suite judges.
func records(t testing.TB, b *autobustest.Bus, topics []string) (all []kafka.Record) {
	for _, topic := range topics {
		subscription, dead := strings.CutPrefix(topic, "dlq.")
		if dead {
			for i, l := range b.DeadLetters(subscription) {
				at := autobustest.Written{Event: l.Event, Partition: l.Partition, Offset: l.Offset}
				r := record(l.Event.Type, at)
				for name, value := range map[string]string{"reason": l.Reason, "attempts": strconv.Itoa(l.Attempts),
					"topic": r.Topic, "partition": strconv.Itoa(int(r.Partition)), "offset": strconv.FormatInt(r.Offset, 10),
					"first": l.First.Format(time.RFC3339Nano), "last": l.Last.Format(time.RFC3339Nano)} {
					r.Headers = append(r.Headers, kafka.Header{Key: "autobus-dlq-" + name, Value: []byte(value)})
				}
				r.TP, r.Offset = kafka.TP{Topic: topic}, int64(i)
				all = append(all, r)
			}
			continue
		}
		for _, w := range b.Log(topic) {
			all = append(all, record(topic, w))
		}
	}
	slices.SortStableFunc(all, func(a, b kafka.Record) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition),
			cmp.Compare(a.Offset, b.Offset))
	})
	return all
}

func record(topic string, w autobustest.Written) kafka.Record {
	r := kafka.Record{TP: kafka.TP{Topic: topic, Partition: w.Partition}, Offset: w.Offset, Time: w.At, Key: w.Key,
		Value: w.Data}
	add := func(key, value string) {
		if value != "" {
			r.Headers = append(r.Headers, kafka.Header{Key: key, Value: []byte(value)})
		}
	}
	add("ce_specversion", "1.0")
	add("ce_id", w.ID)
	add("ce_source", w.Source)
	add("ce_type", w.Type)
	add("ce_time", w.Time.Format(time.RFC3339Nano))
	add("ce_subject", w.Subject)
	add("ce_dataschema", w.DataSchema)
	add("content-type", w.ContentType)
	for _, x := range w.Extensions {
		name := "ce_" + x.Name
		if x.Name == autobus.ExtTraceParent {
			name = x.Name
		}
		add(name, x.Value)
	}
	return r
}
