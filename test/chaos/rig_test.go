// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
)

// rig is a cluster for full runs, started when the first of them needs it and kept until the last is over.
type rig struct {
	t      *testing.T // of all the runs
	layout string     // of its nodes, see tools/kafka.sh
	k      *bustest.Kafka
	dir    string   // of its data
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

// asks makes a run ask so often, a second or at once, where others publish at a rate.
func asks(test func(*testing.T, *stand, scale, *row), of func(rate int) int) func(*testing.T, *stand, scale, *row) {
	return func(t *testing.T, s *stand, sc scale, row *row) {
		sc.rate = of(sc.rate)
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
	base := freePorts(t)
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
	script("start", "../../.cache/kafka", data, strconv.Itoa(base))
	boot, err := os.ReadFile(filepath.Join(data, "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	r.dir, r.k = data, bustest.ClusterIn(strings.TrimSpace(string(boot)), data)
	return r.k
}

// freePorts finds a base port for a cluster, whose nodes have the ports 10 apart from it.
func freePorts(t *testing.T) int {
	t.Helper()
	for base := 30200; base < 32600; base += 100 {
		free := true
		for node := range 4 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+10*node))
			if err != nil {
				free = false
				break
			}
			free = l.Close() == nil && free
		}
		if free {
			return base
		}
	}
	t.Fatal("no free ports for a cluster")
	return 0
}
