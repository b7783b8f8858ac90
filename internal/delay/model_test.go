// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus/internal/kafka"
)

// The model of the tiers: topics of one partition, the commits of each, and one worker of it after the other, each of
// which may live on after it was expelled. It stands on the tiers, records and marks that the keeper has, and does
// between them what shelf.go does, one step at a time, with a crash, an expulsion and a failed append possible at every
// step.

type tierWorld struct {
	cfg      Config
	now      time.Time
	log      map[string][]kafka.Record
	commits  map[string]tierCommit
	workers  map[string][]*tierWorker // the last one is the owner, the others do not know yet that they are none
	due      map[string]time.Time
	released map[string]int
}

type tierCommit struct {
	base     int64
	metadata string
}

type tierWorker struct {
	tier   tier
	marks  marks
	knows  marks // what was committed when it began
	held   []*held
	out    []*hop
	hopped map[int64]int // how often a record went on; what failed does not count
}

// hop is a record on its way to where it waits next, or to its own topic.
type hop struct {
	*held
	to     kafka.Record
	landed bool
}

const modelTarget = "target"

func newTierWorld(t *rapid.T) *tierWorld {
	w := &tierWorld{cfg: Config{Name: Group}, now: time.UnixMilli(1_800_000_000_000), log: map[string][]kafka.Record{},
		commits: map[string]tierCommit{}, workers: map[string][]*tierWorker{}, due: map[string]time.Time{},
		released: map[string]int{}}
	for _, tr := range w.cfg.tiers() {
		w.commits[tr.topic] = tierCommit{metadata: marksForm}
		w.takeOver(t, tr)
	}
	return w
}

func (w *tierWorld) owner(tr tier) *tierWorker {
	all := w.workers[tr.topic]
	return all[len(all)-1]
}

func (w *tierWorld) takeOver(t *rapid.T, tr tier) {
	c := w.commits[tr.topic]
	m, err := decodeMarks(c.base, c.metadata)
	if err != nil {
		t.Fatal(err)
	}
	knows, _ := decodeMarks(c.base, c.metadata)
	w.workers[tr.topic] = append(w.workers[tr.topic], &tierWorker{tier: tr, marks: m, knows: knows,
		hopped: map[int64]int{}})
}

func (w *tierWorld) append(topic string, r kafka.Record) {
	r.TP, r.Offset, r.Time = kafka.TP{Topic: topic}, int64(len(w.log[topic])), w.now
	w.log[topic] = append(w.log[topic], r)
}

// keep has one more entry delayed.
func (w *tierWorld) keep(t *rapid.T) {
	left := time.Duration(rapid.Int64Range(0, int64(6*time.Hour)).Draw(t, "delay"))
	e := Entry{ID: fmt.Sprint(len(w.due)), Due: RoundDue(w.now.Add(left)), Since: w.now, Owner: "tester"}
	w.due[e.ID] = e.Due
	w.append(w.cfg.tierFor(left).topic, e.record(w.now))
}

// fetch reads one record.
func (k *tierWorker) fetch(t *rapid.T, w *tierWorld) {
	log := w.log[k.tier.topic]
	if k.marks.next >= int64(len(log)) {
		return
	}
	r := &log[k.marks.next]
	k.marks.read(r.Offset)
	if k.marks.has(r.Offset) {
		return
	}
	e, ours, err := parse(r)
	if err != nil || !ours {
		t.Fatal(ours, err)
	}
	h := &held{Entry: e, raw: r, readable: true, at: r.Time.Add(k.tier.hold)}
	if k.tier.hold == 0 {
		h.at = e.Due
	}
	k.held = append(k.held, h)
}

// act sends one record on whose time has come; of a tier only its head.
func (k *tierWorker) act(t *rapid.T, w *tierWorld) {
	for i, h := range k.held {
		if h.at.After(w.now) {
			if k.tier.hold > 0 {
				return
			}
			continue
		}
		if k.knows.has(h.raw.Offset) {
			t.Fatalf("%s at %d of %s goes on once more, though that was committed", h.ID, h.raw.Offset, k.tier.topic)
		}
		if k.hopped[h.raw.Offset]++; k.hopped[h.raw.Offset] > 1 {
			t.Fatalf("%s at %d of %s went on twice from one worker", h.ID, h.raw.Offset, k.tier.topic)
		}
		k.held = append(k.held[:i:i], k.held[i+1:]...)
		out := &hop{held: h, to: kafka.Record{TP: kafka.TP{Topic: modelTarget}}}
		if k.tier.hold > 0 {
			out.to = h.Entry.record(w.now)
			out.to.TP = kafka.TP{Topic: w.cfg.tierFor(h.Due.Sub(w.now)).topic}
		}
		k.out = append(k.out, out)
		return
	}
}

// land puts the oldest append that is under way into the log; the answer comes later, or never.
func (k *tierWorker) land(t *rapid.T, w *tierWorld) {
	for _, o := range k.out {
		if o.landed {
			continue
		}
		o.landed = true
		if o.to.Topic != modelTarget {
			w.append(o.to.Topic, o.to)
			return
		}
		if early := o.Due.Sub(w.now); early > 0 {
			t.Fatalf("%s is published %s early", o.ID, early)
		}
		w.released[o.ID]++
		return
	}
}

// confirm brings the answer to the oldest append.
func (k *tierWorker) confirm() {
	if len(k.out) > 0 && k.out[0].landed {
		k.marks.set(k.out[0].raw.Offset)
		k.marks.settle()
		k.out = k.out[1:]
	}
}

// fail answers all appends with an error: they are tried again, whether they landed or not.
func (k *tierWorker) fail() {
	for _, o := range k.out {
		k.hopped[o.raw.Offset]--
		k.held = append([]*held{o.held}, k.held...)
	}
	k.out = nil
}

func (w *tierWorld) commit(k *tierWorker) {
	if k == w.owner(k.tier) {
		w.commits[k.tier.topic] = tierCommit{k.marks.base, k.marks.encode()}
	}
}

// Wherever workers crash, are expelled and go on all the same: nothing that is delayed is lost, nothing is published
// early, and what was committed to have gone on does not go on once more.
func TestHopsLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTierWorld(t)
		tiers := w.cfg.tiers()
		place := func(t *rapid.T) tier { // mostly one where there is something
			var full []tier
			for _, tr := range tiers {
				if len(w.log[tr.topic]) > 0 {
					full = append(full, tr)
				}
			}
			if len(full) == 0 {
				return tiers[0]
			}
			return rapid.SampledFrom(full).Draw(t, "tier")
		}
		someone := func(t *rapid.T) *tierWorker {
			all := w.workers[place(t).topic]
			if rapid.IntRange(0, 3).Draw(t, "who") > 0 {
				return all[len(all)-1]
			}
			return rapid.SampledFrom(all[max(0, len(all)-3):]).Draw(t, "zombie")
		}
		actions := map[string]func(*rapid.T){
			"keep":   w.keep,
			"fail":   func(t *rapid.T) { someone(t).fail() },
			"commit": func(t *rapid.T) { w.commit(someone(t)) },
			"expel":  func(t *rapid.T) { w.takeOver(t, place(t)) },
			"crash": func(t *rapid.T) {
				tr := place(t)
				all := w.workers[tr.topic]
				w.workers[tr.topic] = all[:len(all)-1]
				w.takeOver(t, tr)
			},
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "passes")))
			},
		}
		for i := range 3 {
			actions[fmt.Sprint("fetch ", i)] = func(t *rapid.T) { someone(t).fetch(t, w) }
			actions[fmt.Sprint("act ", i)] = func(t *rapid.T) { someone(t).act(t, w) }
			actions[fmt.Sprint("land ", i)] = func(t *rapid.T) { someone(t).land(t, w) }
			actions[fmt.Sprint("confirm ", i)] = func(t *rapid.T) { someone(t).confirm() }
		}
		t.Repeat(actions)

		for _, tr := range tiers { // the last ones do the rest
			w.takeOver(t, tr)
		}
		for range 40 {
			w.now = w.now.Add(time.Hour)
			for _, tr := range tiers {
				for k, more := w.owner(tr), true; more; more = k.marks.next < int64(len(w.log[tr.topic])) || len(k.out) > 0 {
					k.fetch(t, w)
					k.act(t, w)
					k.land(t, w)
					k.confirm()
				}
				for k := w.owner(tr); ; {
					before := len(k.held)
					k.act(t, w)
					k.land(t, w)
					k.confirm()
					if len(k.held) == before {
						break
					}
				}
			}
		}
		for id := range w.due {
			if w.released[id] == 0 {
				t.Fatalf("%s was never published", id)
			}
		}
	})
}
