// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// partitions is how many partitions the type of a stand has.
const partitions = 8

// stand is where gateways run, on one type of events. Before a cluster there may be several at once; of `autobus dev`,
// which brings its own broker, there is one at a time, on the data of the one before.
type stand struct {
	typ           string
	bin, specs    string
	cluster       *bustest.Kafka // nil = autobus dev
	config, token string         // before a cluster
	pushed        bool           // its specs are in force there
	data          string         // of dev
	broker        *bustest.Kafka // where the events are now
	started       int
	ports         map[string]string // of gateways that come back where they were, by name; nil = anywhere

	net *network                  // in which links can be cut; nil = there is none
	by  func(number int) []string // leads to a gateway's process, somewhere else than here
}

// onBoth runs a test on the embedded broker and before the real cluster.
func onBoth(t *testing.T, test func(t *testing.T, s *stand)) {
	t.Run("dev", func(t *testing.T) { test(t, devStand(t)) })
	t.Run("kafka", func(t *testing.T) { test(t, clusterStand(t, bustest.Cluster(t))) })
}

// devStand is a stand for `autobus dev`.
func devStand(t *testing.T) *stand {
	t.Helper()
	typ, specs := workSpec(t, partitions)
	return &stand{typ: typ, bin: build(t), specs: specs, data: t.TempDir()}
}

// clusterStand is a stand before a cluster.
func clusterStand(t *testing.T, k *bustest.Kafka) *stand {
	t.Helper()
	typ, specs := workSpec(t, partitions)
	s := &stand{typ: typ, bin: build(t), specs: specs, cluster: k, broker: k}
	s.config, s.token = prepare(t, s.bin, k)
	return s
}

// workSpec writes the spec of a type of so many partitions into a folder.
func workSpec(t *testing.T, partitions int) (typ, specs string) {
	t.Helper()
	types := bustest.NewTypes(bustest.Prefix())
	name := "events/conf/" + types.Work + ".yaml"
	text := string(types.Specs()[name])
	more := strings.Replace(text, fmt.Sprintf("partitions: %d", bustest.WorkPartitions),
		fmt.Sprintf("partitions: %d", partitions), 1)
	if more == text {
		t.Fatalf("the spec of %s does not say its partitions as expected:\n%s", types.Work, text)
	}
	specs = t.TempDir()
	file := filepath.Join(specs, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(more), 0o644); err != nil {
		t.Fatal(err)
	}
	return types.Work, specs
}

// gateway is one running autobus. One that is started again is another gateway.
type gateway struct {
	*program
	number int // gateways of a stand count up
	url    string
	token  string
}

// start runs another gateway and returns once it takes events.
func (s *stand) start(t *testing.T) *gateway {
	t.Helper()
	return s.startAs(t, fmt.Sprintf("g%d", s.started))
}

// startAs does so under a name, which before a cluster other gateways may have had before.
func (s *stand) startAs(t *testing.T, name string) (g *gateway) {
	t.Helper()
	g = &gateway{number: s.started, token: s.token}
	s.started++
	port := cmp.Or(s.ports[name], "0")
	if s.ports != nil {
		defer func() { s.ports[name] = g.url[strings.LastIndexByte(g.url, ':')+1:] }()
	}
	if s.cluster != nil {
		by := []string{"env", "AUTOBUS_LISTEN=127.0.0.1:" + port}
		if s.by != nil {
			by = s.by(g.number)
		}
		g.program, g.url = serve(t, by, s.bin, s.config, name)
		s.push(t, g)
		return g
	}
	var b banner
	g.program, b = dev(t, s.bin, s.data, s.specs, port)
	g.url, s.broker = b.API, &bustest.Kafka{Brokers: []string{b.Kafka}}
	return g
}

// push brings the stand's specs into force, once. A gateway that starts would not take away the types of other tests,
// whose subscriptions are there still.
func (s *stand) push(t *testing.T, g *gateway) {
	t.Helper()
	if !s.pushed {
		command(t, s.bin, "spec", "push", s.specs, "--force", "--yes", "--server", g.url, "--token", s.token)
		s.pushed = true
	}
}

// second starts a gateway that is to take over, where there can be two.
func (s *stand) second(t *testing.T) *gateway {
	t.Helper()
	if s.cluster == nil {
		return nil
	}
	return s.start(t)
}

// mustKill kills a gateway, and fails the test if it did not die of that.
func (g *gateway) mustKill(t *testing.T) {
	t.Helper()
	g.kill()
	if !g.killed() {
		t.Fatalf("the gateway did not die of the kill: %v\n%s", g.err, g.stderr)
	}
}

// source is a load that can be moved from one gateway to another.
type source struct {
	*load
	stand   *stand
	stop    func()
	unwatch func() // ends what looks at the ends of the log; nil = nothing does yet
}

// newSource makes a load of about rate events a second, of many keys.
func newSource(s *stand, rate int) *source {
	const streams = 8
	l := newLoad(s.typ, streams, func(int) string { return "" }, perSecond(rate/streams))
	l.keys = 100
	return &source{load: l, stand: s, stop: func() {}}
}

// moveTo publishes through that gateway from now on.
func (s *source) moveTo(t *testing.T, g *gateway) {
	s.stop()
	if s.unwatch == nil && s.stand.cluster != nil {
		s.unwatch = watchEnds(t, s.stand.cluster, s.load)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx, t, g.url, g.token)
	}()
	s.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(s.stop)
}

// landed reports whether the log has more events than were acknowledged: appends whose answer was lost.
func (s *source) landed(t *testing.T) bool {
	t.Helper()
	return len(bustest.ReadAll(t, s.stand.broker.Open(t), s.typ)) > s.timeline().count(autobus.Written)
}

// authorize puts the gateway's token on a request.
func (g *gateway) authorize(r *http.Request) {
	if g.token != "" {
		r.Header.Set("Authorization", "Bearer "+g.token)
	}
}

// publish sends one event and returns its result.
func publish(t *testing.T, g *gateway, event []byte) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := post(ctx, client, g, "", event)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// post sends one event.
func post(ctx context.Context, client *http.Client, g *gateway, query string, event []byte) (r result, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/events"+query, bytes.NewReader(event))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	g.authorize(req)
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return r, fmt.Errorf("publish: %s: %w", resp.Status, err)
	}
	return r, nil
}
