// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	apart := newRig(t, "apart")
	tab := &table{}
	for _, r := range []job{
		{"T1", "`kill -9` of a partition's leader", "resumes within 15 s; no copies", apart.on(killLeader)},
		{"T2", "rolling restart of the brokers by SIGTERM", "longest gap 5 s, p99 3 s; no copies", apart.on(rollBrokers)},
		{"T3", "SIGSTOP of a leader for 30 s", "resumes within 25 s; no acknowledgement of the stale leader",
			apart.on(pauseLeader)},
		{"T4", "`kill -9` of two of three brokers for 60 s, controller apart", "nothing acknowledged meanwhile, reads go on, " +
			"resumes within 20 s of the second", apart.on(killTwo)},
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
	rate   string // events a second that were written before the fault
	result string
	failed bool
}

// table is the rows in their order.
type table struct{ rows []*row }

// came says what a run measured. Lost events are those that were acknowledged and are not in the log.
func (r *row) came(x *trial, rep bustest.Report, format string, args ...any) {
	r.rate = fmt.Sprintf("%.0f", x.came)
	r.result = fmt.Sprintf("%d of %d acknowledged lost; ", lost(rep), rep.Written) + fmt.Sprintf(format, args...)
	x.t.Logf("figures: %s events/s; %s", r.rate, r.result)
}

func lost(rep bustest.Report) (n int) {
	for _, f := range rep.Faults {
		if f.Rule == bustest.Lost {
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
	layout string
	env    []string
	k      *bustest.Kafka
}

func newRig(t *testing.T, layout string, env ...string) *rig {
	return &rig{t: t, layout: layout, env: env}
}

// on makes a run of what wants a stand before the rig's cluster.
func (r *rig) on(test func(*testing.T, *stand, scale, *row)) func(*testing.T, scale, *row) {
	return func(t *testing.T, sc scale, row *row) {
		test(t, clusterStand(t, r.cluster(t)), sc, row)
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
	data := filepath.Join(r.t.TempDir(), "kafka")
	script := func(args ...string) {
		t.Helper()
		cmd := exec.Command("../../tools/kafka.sh", args...)
		cmd.Env = append(append(os.Environ(), "KAFKA_LAYOUT="+r.layout), r.env...)
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
