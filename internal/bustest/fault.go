// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Leader returns the broker that leads a partition, and fails the test if there is none for long.
func (k *Kafka) Leader(t testing.TB, topic string, partition int32) int32 {
	t.Helper()
	leader := int32(-1)
	Eventually(t, fmt.Sprintf("a leader of %s/%d", topic, partition), func(ctx context.Context) bool {
		ps, err := k.state(ctx, topic)
		if err != nil || int(partition) >= len(ps) {
			return false
		}
		leader = ps[partition].Leader
		return leader >= 0
	})
	return leader
}

// Replicas returns what is believed of each partition of a topic by the first broker that answers. ok is false when
// none does.
func (k *Kafka) Replicas(t testing.TB, topic string) (ps []PartitionState, ok bool) {
	t.Helper()
	ps, err := k.state(t.Context(), topic)
	return ps, err == nil
}

// KillBroker ends a broker by SIGKILL and returns when the process is gone. The broker comes back with the test's end
// unless RestartBroker was called before, because the cluster is everybody's.
func (k *Kafka) KillBroker(t testing.TB, id int32) {
	t.Helper()
	k.endBroker(t, id, syscall.SIGKILL)
}

// StopBroker ends a broker by SIGTERM, which hands over what it leads, and returns when the process is gone. Like a
// killed one it comes back with the test's end.
func (k *Kafka) StopBroker(t testing.TB, id int32) {
	t.Helper()
	k.endBroker(t, id, syscall.SIGTERM)
}

func (k *Kafka) endBroker(t testing.TB, id int32, by syscall.Signal) {
	t.Helper()
	pid := k.pid(t, id)
	if !alive(pid) {
		t.Fatalf("broker %d (pid %d) was not running before it was to be ended", id, pid)
	}
	if err := syscall.Kill(pid, by); err != nil {
		t.Fatalf("%s for broker %d (pid %d): %v", by, id, pid, err)
	}
	t.Cleanup(func() {
		if !alive(k.pid(t, id)) {
			k.start(t, id)
		}
	})
	Eventually(t, fmt.Sprintf("the end of broker %d (pid %d)", id, pid), func(context.Context) bool {
		return !alive(pid)
	})
}

// PauseBroker stops a broker by SIGSTOP: it keeps its connections and says nothing. It returns once the system says
// that it stands. At the test's end at the latest it goes on.
func (k *Kafka) PauseBroker(t testing.TB, id int32) {
	t.Helper()
	pid := k.pid(t, id)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatalf("stop broker %d (pid %d): %v", id, pid, err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // it may be gone by then
	Eventually(t, fmt.Sprintf("broker %d (pid %d) to stand still", id, pid), func(context.Context) bool {
		return k.BrokerPaused(t, id)
	})
}

// BrokerPaused reports whether a broker's process stands still.
func (k *Kafka) BrokerPaused(t testing.TB, id int32) bool {
	t.Helper()
	return procState(k.pid(t, id)) == 'T'
}

// ResumeBroker lets a broker go on that PauseBroker stopped.
func (k *Kafka) ResumeBroker(t testing.TB, id int32) {
	t.Helper()
	if err := syscall.Kill(k.pid(t, id), syscall.SIGCONT); err != nil {
		t.Fatalf("let broker %d go on: %v", id, err)
	}
}

// BrokerRuns reports whether a broker's process is there.
func (k *Kafka) BrokerRuns(t testing.TB, id int32) bool {
	t.Helper()
	return alive(k.pid(t, id))
}

// RestartBroker starts a broker that KillBroker or StopBroker ended.
func (k *Kafka) RestartBroker(t testing.TB, id int32) {
	t.Helper()
	if pid := k.pid(t, id); alive(pid) {
		t.Fatalf("broker %d (pid %d) is still running", id, pid)
	}
	k.start(t, id)
}

// WaitISR waits until every replica of every partition of the topics is in sync.
func (k *Kafka) WaitISR(t testing.TB, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		Eventually(t, "all replicas of "+topic+" in sync", func(ctx context.Context) bool {
			ps, err := k.state(ctx, topic)
			for _, p := range ps {
				if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
					return false
				}
			}
			return err == nil && len(ps) > 0
		})
	}
}

func (k *Kafka) node(t testing.TB, id int32) string {
	t.Helper()
	if k.dir == "" {
		t.Fatal("no folder of broker pids: set AUTOBUS_TEST_KAFKA_DIR to the data folder given to tools/kafka.sh")
	}
	return filepath.Join(k.dir, fmt.Sprintf("n%d", id))
}

// pid reads what the node's script wrote. While that one starts, its file is empty for a moment.
func (k *Kafka) pid(t testing.TB, id int32) (pid int) {
	t.Helper()
	file := filepath.Join(k.node(t, id), "pid")
	Eventually(t, "a pid in "+file, func(context.Context) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("the pid of broker %d: %v", id, err)
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && pid > 1
	})
	return pid
}

// start runs the node's own script, in a session of its own: the broker outlives the test. Nobody here waits for it,
// so the shell in between does the starting and the system's first process takes it over.
func (k *Kafka) start(t testing.TB, id int32) {
	t.Helper()
	run := filepath.Join(k.node(t, id), "run")
	before := k.pid(t, id)
	cmd := exec.Command("bash", "-c", `"$0" & disown`, run)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		t.Fatalf("start broker %d: %v", id, err)
	}
	if t.Context().Err() != nil {
		return // from a cleanup: whoever comes next waits for the broker by WaitISR
	}
	Eventually(t, fmt.Sprintf("the start of broker %d", id), func(context.Context) bool {
		pid := k.pid(t, id)
		return pid != before && alive(pid)
	})
}

// alive reports whether a process runs. A zombie, which nobody has waited for yet, does not.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	s := procState(pid)
	if s == 0 {
		_, noProc := os.Stat("/proc/self/stat")
		return noProc != nil // where there is no /proc, the signal's answer has to do
	}
	return s != 'Z'
}

// procState is the letter under which the system has a process; 0 = it does not say.
func procState(pid int) byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	text := string(stat)
	if end := strings.LastIndex(text, ") "); end >= 0 && len(text) > end+2 {
		return text[end+2]
	}
	return 0
}
