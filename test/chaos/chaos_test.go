// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

// TestChaos makes the full runs, on clusters of its own, and prints the table that docs/explanation/faults.md shows.
// It takes the better part of an hour, so it is for `make chaos` alone. A run whose fault did not happen fails.
func TestChaos(t *testing.T) {
	if os.Getenv("AUTOBUS_TEST_CHAOS") == "" {
		return // not skipped: what `make test` runs are the short forms
	}
	full := scale{rate: rate(t), full: true}
	apart, combined := newRig(t, "apart"), newRig(t, "combined")
	tab := &table{}
	for _, r := range []job{
		{"T1", "`kill -9` of a partition's leader", "resumes within 15 s; no copies", apart.on(killLeader)},
		{"T2", "rolling restart of the brokers by SIGTERM", "longest gap 5 s, p99 3 s; no copies", apart.on(rollBrokers)},
		{"T3", "SIGSTOP of a leader for 30 s", "resumes within 25 s; no acknowledgement of the stale leader",
			apart.on(pauseLeader)},
		{"T4", "`kill -9` of two of three brokers for 60 s, controller apart", "nothing acknowledged meanwhile, tails go on, " +
			"resumes within 20 s of the second", apart.on(killTwo)},
		{"T5", "`kill -9` of the active controller that leads partitions too, combined nodes", "resumes within 20 s",
			combined.on(killController)},
		{"T6", "the link between a leader and one follower is cut for 30 s, both see the controller, combined nodes",
			"longest gap 16 s", combined.on(cutFollower)},
		{"T7", "a gateway is cut off from all brokers for 60 s", "unknown only for what was sent, the rest refused within " +
			"50 ms, memory grows by the buffer and a fifth", combined.on(cutGateway)},
		{"T8", "answers of the brokers are lost for 10 s, clients try again at the same gateway", "one copy of each",
			combined.on(loseAnswers)},
		{"T9", "the same, clients try again at another gateway", "at most two copies, one once readers drop known ids",
			combined.on(loseAnswersMove)},
		{"T10", "`kill -9` of the gateway that holds all 8 partitions, window 64, another one takes over", "no more comes " +
			"again than was in flight or acked in the last second, takeover within 15 s", apart.on(kills(5, killGateway))},
		{"T11", "SIGTERM of that gateway under load", "what no worker settled within 5 s comes again, nothing else; down " +
			"after 4 s, 9 s with such events", apart.on(stopGateway)},
		{"T12", "settling in random order, `kill -9` at a random point, cluster", "nothing skipped, no inversion",
			apart.on(kills(20, killGateway))},
		{"T12-dev", "`kill -9` of `autobus dev` in the middle of writing and of consuming", "nothing skipped, no inversion, " +
			"nothing lost", onDev(scale{rate: 500, kills: 200}, killGateway)},
		{"T15", "10 workers and 3 gateways come and go for 30 s", "nothing skipped, no key in two hands, no more comes again " +
			"than the windows hold", apart.on(churn)},
		{"T16", "corrupt, foreign, oversized commit metadata", "nothing skipped, partitions go on within 5 s, each is alarmed",
			apart.on(tamperPositions)},
	} {
		t.Run(r.id, func(t *testing.T) {
			row := &row{job: r, result: "void"}
			tab.rows = append(tab.rows, row)
			defer func() {
				row.failed = t.Failed()
				t.Log(row)
			}()
			r.test(t, full, row)
		})
	}
	t.Logf("%s, Kafka 4.3.1, 3 brokers, RF 3, min ISR 2:\n%s", time.Now().Format(time.DateOnly), tab)
}

// job is one row of the table.
type job struct {
	id, fault, pass string
	test            func(*testing.T, scale, *row)
}

// row is a run and what it came to.
type row struct {
	job
	rate   string // events a second that were written before the fault, or in the median second
	result string
	failed bool
}

// table is the rows in their order.
type table struct{ rows []*row }

// came says what a run measured. Lost events are those that were acknowledged and are not in the log.
func (r *row) came(x *trial, rep bustest.Report, format string, args ...any) {
	r.rate = fmt.Sprintf("%.0f", x.came)
	r.result = fmt.Sprintf("%d of %d acknowledged lost; ", count(rep, bustest.Lost), rep.Written) + fmt.Sprintf(format, args...)
	x.t.Logf("figures: %s events/s; %s", r.rate, r.result)
}

// consumed says what a run with a subscription measured. Skipped events are those that reached no final state.
func (r *row) consumed(t *testing.T, l *source, rep bustest.Report, format string, args ...any) {
	r.rate = fmt.Sprint(l.timeline().written().usual())
	r.result = fmt.Sprintf("%d of %d acknowledged lost, %d of %d skipped, %d inversions; ", count(rep, bustest.Lost),
		rep.Written, count(rep, bustest.Missing), rep.Records, count(rep, bustest.Overtaken, bustest.Reordered)) +
		fmt.Sprintf(format, args...)
	t.Logf("figures: %s events/s; %s", r.rate, r.result)
}

func count(rep bustest.Report, rules ...bustest.Rule) (n int) {
	for _, f := range rep.Faults {
		if slices.Contains(rules, f.Rule) {
			n++
		}
	}
	return n
}

func (r *row) String() string {
	verdict := "holds"
	if r.failed {
		verdict = "**fails**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", r.id, r.fault, r.pass, r.rate, r.result, verdict)
}

func (tab *table) String() string {
	var b strings.Builder
	b.WriteString("| # | fault | must hold | events/s | measured | verdict |\n|---|---|---|---|---|---|\n")
	for _, r := range tab.rows {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

// rig is a cluster for full runs, started when the first of them needs it and kept until the last is over.
type rig struct {
	t      *testing.T // of all the runs
	layout string     // of its nodes, see tools/kafka.sh
	k      *bustest.Kafka
	net    *network // of combined nodes: host n is broker n, or a gateway
}

func newRig(t *testing.T, layout string) *rig { return &rig{t: t, layout: layout} }

// on makes a run of what wants a stand before the rig's cluster.
func (r *rig) on(test func(*testing.T, *stand, scale, *row)) func(*testing.T, scale, *row) {
	return func(t *testing.T, sc scale, row *row) {
		k := r.cluster(t)
		s := clusterStand(t, k)
		s.net = r.net
		test(t, s, sc, row)
	}
}

// kills makes a run kill so many times.
func kills(n int, test func(*testing.T, *stand, scale, *row)) func(*testing.T, *stand, scale, *row) {
	return func(t *testing.T, s *stand, sc scale, row *row) {
		sc.kills = n
		test(t, s, sc, row)
	}
}

// onDev makes a run of a scale of its own on `autobus dev`.
func onDev(sc scale, test func(*testing.T, *stand, scale, *row)) func(*testing.T, scale, *row) {
	return func(t *testing.T, _ scale, row *row) {
		sc.full = true
		test(t, devStand(t), sc, row)
	}
}

func (r *rig) cluster(t *testing.T) *bustest.Kafka {
	t.Helper()
	if r.k != nil {
		return r.k
	}
	base := os.Getenv("AUTOBUS_TEST_CHAOS_PORT")
	if base == "" {
		base = "30100"
	}
	env := []string{"KAFKA_LAYOUT=" + r.layout}
	if r.layout == "combined" {
		r.net = newNetwork(r.t, t, 1, 2, 3, gatewayHost, gatewayHost+1)
		env = append(env, "KAFKA_NET="+r.net.net, "KAFKA_NETNS="+r.net.prefix)
	}
	data := filepath.Join(r.t.TempDir(), "kafka")
	script := func(args ...string) {
		t.Helper()
		cmd := exec.Command("../../tools/kafka.sh", args...)
		cmd.Env = append(os.Environ(), env...)
		said, err := os.Create(filepath.Join(r.t.TempDir(), "said")) // a file and no pipe, which the brokers would keep open
		if err != nil {
			t.Fatal(err)
		}
		defer said.Close()
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Run(); err != nil {
			text, _ := os.ReadFile(said.Name())
			t.Fatalf("kafka.sh %v: %v\n%s", args, err, text)
		}
	}
	script("jars", "../../.cache/kafka")
	r.t.Cleanup(func() {
		_ = exec.Command("../../tools/kafka.sh", "wipe", data).Run() // the folder goes with the test
	})
	script("start", "../../.cache/kafka", data, base)
	boot, err := os.ReadFile(filepath.Join(data, "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	r.k = bustest.ClusterIn(strings.TrimSpace(string(boot)), data)
	return r.k
}
