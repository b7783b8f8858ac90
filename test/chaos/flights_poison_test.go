// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	tally "github.com/autobus-io/autobus/examples/flights/table"
	"github.com/autobus-io/autobus/internal/bustest"
)

const example = "../../examples/flights"

// TestFlightsWithFailures is the short form of flights-poison, on the embedded broker.
func TestFlightsWithFailures(t *testing.T) {
	s := &stand{bin: build(t), specs: flightSpecs(t), data: t.TempDir()}
	flightsWithFailures(t, s, scale{kills: 3}, &row{})
}

// flightsPoison is the full run before a rig's cluster, of the file that AUTOBUS_TEST_FLIGHTS names or the example's.
func flightsPoison(apart *rig) func(*testing.T, scale, *row) {
	return func(t *testing.T, sc scale, r *row) {
		k := apart.cluster(t)
		s := &stand{bin: build(t), specs: flightSpecs(t), cluster: k, broker: k}
		s.config, s.token = prepare(t, s.bin, k)
		sc.kills = 6
		flightsWithFailures(t, s, sc, r)
	}
}

func flightSpecs(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(example + "/specs")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// flightsWithFailures feeds the file of the flights example by the example's own feed and has workers make its table,
// who fail one delivery in a hundred, and one row in a thousand each time. The gateways are killed at random, each time
// in the middle of a part of the feed and of the work. In the end the table of the workers has to be that of the file
// without the poison rows, the table of the topics that of the whole file, and the dead letters the poison rows.
func flightsWithFailures(t *testing.T, s *stand, sc scale, r *row) {
	f := openFlights(t, cmp.Or(os.Getenv("AUTOBUS_TEST_FLIGHTS"), example+"/flights-2000.csv"))
	s.ports = map[string]string{}
	names := []string{"a"}
	if s.cluster != nil {
		names = append(names, "b")
	}
	gs := make([]*gateway, len(names))
	for i, name := range names {
		gs[i] = s.startAs(t, name)
	}
	l := &source{load: newLoad("flights.*", 0, nil, 0), stand: s, stop: func() {}}
	l.reads = []string{tally.Departed, tally.Cancelled}
	c := newCrew(t, l.load, gs[0], autobus.Policy{Types: []string{l.typ}, Retry: autobus.RetryPolicy{MaxAttempts: 5,
		Backoff: []autobus.Duration{autobus.Duration(100 * time.Millisecond)}}})
	log := s.broker.Open(t)
	var err error
	if c.group.From, err = log.Ends(t.Context(), l.reads...); err != nil {
		t.Fatal(err)
	}
	c.window, c.pace, c.verdict = 20, 200*time.Millisecond, f.verdict
	c.goTo(gs...)
	c.hire(4, 4)

	feed := filepath.Join(t.TempDir(), "feed")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", feed, example+"/feed")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var changes []change
	feeding, fed := 0, 0
	for n := range sc.kills + 1 {
		part, rows := f.part(t, n, sc.kills+1)
		i := c.someonesPlace(t, gs)
		p := startFeed(t, feed, gs[i], part)
		if n < sc.kills {
			<-time.After(rand.N(200 * time.Millisecond))
			bustest.Eventually(t, "work", func(context.Context) bool { return f.worked() > 0 }) // later there is always some
			ch := change{gone: gs[i], at: time.Now()}
			select {
			case <-p.ended:
			default:
				feeding++
			}
			gs[i].mustKill(t)
			// Its successor will have the same address, and must not be taken for it.
			c.goTo(slices.Delete(slices.Clone(gs), i, i+1)...)
			c.deserted(t, ch.gone)
			gs[i] = s.startAs(t, names[i])
			ch.next = gs[i]
			changes = append(changes, ch)
			c.goTo(gs...)
		}
		p.end(t)
		fed += rows
		bustest.Eventually(t, "half of the part to be worked off", func(context.Context) bool {
			return f.worked() >= fed-rows/2-len(f.poison)
		})
	}
	bustest.Eventually(t, "the dead letters", func(context.Context) bool {
		return len(distinct(c.letterKeys(t, s.broker))) >= len(f.poison)
	})
	c.awaitEnd(t, gs[0])

	dead := distinct(c.letterKeys(t, s.broker))
	c.letters(t, s.broker)
	if want := f.poisonRows(); !slices.Equal(dead, want) {
		t.Errorf("the dead letters are %q, the poison rows %q", dead, want)
	}
	f.compare(t, "workers", f.done, false)
	all, records := &tally.Table{}, bustest.ReadAll(t, s.broker.Open(t), l.reads...)
	for _, rec := range records {
		if rec.Offset < c.group.From[rec.TP] {
			continue
		}
		var flight tally.Flight
		if err := json.Unmarshal(rec.Value, &flight); err != nil {
			t.Fatal(err)
		}
		if err := all.Add(rec.Topic, eventID(rec), flight); err != nil {
			t.Fatal(err)
		}
	}
	f.compare(t, "topics", all, true)
	hit := 0
	for n, a := range c.accounts(s, changes) {
		t.Logf("kill %d: %d events in hand, %d acks may be forgotten", n+1, a.left, a.recent)
		c.group.Repeats += a.left + a.recent
		if a.left > 0 {
			hit++
		}
	}
	if hit < len(changes) || sc.full && feeding == 0 {
		t.Errorf("of %d kills %d found events in hand and %d the feed at work: that proves too little", len(changes), hit,
			feeding)
	}
	rep := c.judge(t, l, s)
	r.rate, r.result = "-", fmt.Sprintf("the tables of the file, the workers and the topics are equal; %d rows, %d "+
		"random failures, %d dead letters, which are the %d poison rows; %d kills, all with deliveries in flight, %d in the "+
		"middle of feeding; %d of %d skipped, %d inversions, %d events came again", f.rows(), f.failures, len(dead),
		len(f.poison), len(changes), feeding, count(rep, bustest.Missing), rep.Records, count(rep, bustest.Overtaken),
		rep.Repeats)
	t.Logf("figures: %s", r.result)
}

// someonesPlace picks one of the gateways that have workers.
func (c *crew) someonesPlace(t *testing.T, gs []*gateway) (i int) {
	t.Helper()
	bustest.Eventually(t, "workers", func(context.Context) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i = rand.IntN(len(gs))
		return c.there[gs[i]] > 0
	})
	return i
}

func distinct(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// startFeed runs the example's feed of a file through a gateway.
func startFeed(t *testing.T, bin string, g *gateway, file string) *program {
	t.Helper()
	return run(t, func(l string) { t.Log("feed:", l) }, "env", "AUTOBUS_TOKEN="+g.token, bin, "--server", g.url, file)
}

// flightFile is the file, and what the workers make of it.
type flightFile struct {
	header []string
	lines  [][]string
	at     map[string]int  // place of each column
	poison map[string]bool // by flightKey

	mu       sync.Mutex
	done     *tally.Table
	failures int
}

func openFlights(t *testing.T, name string) *flightFile {
	t.Helper()
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	all, err := csv.NewReader(in).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	f := &flightFile{header: all[0], lines: all[1:], at: map[string]int{}, poison: map[string]bool{}, done: &tally.Table{}}
	for i, c := range f.header {
		f.at[c] = i
	}
	times := map[string]int{}
	for _, line := range f.lines {
		times[f.key(line)]++
	}
	for i := 500; i < len(f.lines); i += 1000 {
		for times[f.key(f.lines[i])] > 1 { // it has to be one row
			i++
		}
		f.poison[f.key(f.lines[i])] = true
	}
	return f
}

// flightKey tells a flight from all others.
type flightKey struct {
	Carrier string `json:"carrier"`
	Flight  int    `json:"flight"`
	Origin  string `json:"origin"`
	Hour    string `json:"time_hour"`
}

func (k flightKey) String() string {
	return fmt.Sprint(k.Carrier, k.Flight, " ", k.Origin, " ", k.Hour)
}

func (f *flightFile) key(line []string) string {
	k := flightKey{Carrier: line[f.at["carrier"]], Origin: line[f.at["origin"]], Hour: line[f.at["time_hour"]]}
	_, _ = fmt.Sscan(line[f.at["flight"]], &k.Flight)
	return k.String()
}

// keyOf gives the key of an event's row.
func keyOf(data []byte) string {
	var k flightKey
	_ = json.Unmarshal(data, &k) // then it is none of the poison
	return k.String()
}

func (f *flightFile) rows() int { return len(f.lines) }

func (f *flightFile) poisonRows() (keys []string) {
	for k := range f.poison {
		keys = append(keys, k)
	}
	return distinct(keys)
}

// part writes a part of the file, one of so many.
func (f *flightFile) part(t *testing.T, n, of int) (name string, rows int) {
	t.Helper()
	lines := f.lines[len(f.lines)*n/of : len(f.lines)*(n+1)/of]
	name = filepath.Join(t.TempDir(), "flights.csv")
	f.write(t, name, lines)
	return name, len(lines)
}

func (f *flightFile) write(t *testing.T, name string, lines [][]string) {
	t.Helper()
	out := &bytes.Buffer{}
	w := csv.NewWriter(out)
	if err := w.Write(f.header); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteAll(lines); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// verdict is the workers' work: a flight that does not fail is in the table before it is acked.
func (f *flightFile) verdict(d autobus.Delivery) verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.poison[keyOf(d.Data)] {
		return verdict{Outcome: autobus.Outcome{Kind: autobus.Retry, Reason: "no such airport"}}
	}
	if rand.IntN(100) == 0 {
		f.failures++
		return verdict{Outcome: autobus.Outcome{Kind: autobus.Retry, Reason: "the database is busy"}}
	}
	var flight tally.Flight
	err := json.Unmarshal(d.Data, &flight)
	if err == nil {
		err = f.done.Add(d.Type, d.ID, flight)
	}
	if err != nil {
		return verdict{Outcome: autobus.Outcome{Kind: autobus.Reject, Reason: err.Error()}}
	}
	return verdict{}
}

func (f *flightFile) worked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done.Events()
}

// compare holds a table against the one that awk makes of the file, with or without the poison.
func (f *flightFile) compare(t *testing.T, whose string, is *tally.Table, poison bool) {
	t.Helper()
	var lines [][]string
	for _, line := range f.lines {
		if poison || !f.poison[f.key(line)] {
			lines = append(lines, line)
		}
	}
	name := filepath.Join(t.TempDir(), "rows.csv")
	f.write(t, name, lines)
	cmd := exec.CommandContext(t.Context(), "awk", "-f", example+"/tally.awk", name)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	want, err := cmd.Output()
	if err != nil {
		t.Fatalf("awk: %v", err)
	}
	var got strings.Builder
	if err := is.Write(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the table of the %s is\n%sand not\n%s", whose, &got, want)
	}
}

// letterKeys gives the rows of the dead letters.
func (c *crew) letterKeys(t *testing.T, k *bustest.Kafka) (keys []string) {
	t.Helper()
	letters := bustest.ReadAll(t, k.Open(t), "dlq."+c.name)
	for _, r := range letters {
		keys = append(keys, keyOf(r.Value))
	}
	return keys
}
