// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

const (
	crowd     = 2000                  // connections of an attack by many
	moreBytes = 200 << 20             // that an attack may cost
	toCompare = 300                   // honest events before each attack, and at its end
	leastTime = 3 * time.Second       // of attacks without an end of their own
	floor     = 20 * time.Millisecond // slower than this is not judged
)

// arena is the program under attack, and its honest clients.
type arena struct {
	*target
	good   *good
	client *http.Client // of the attackers
	base   usage
	beside *yardsticks
}

// usage is what the process has of the machine.
type usage struct {
	rss        int64 // bytes
	goroutines int
	files      int
}

// TestHostile runs every attack, each against a program of its own.
func TestHostile(t *testing.T) {
	needFiles(t, 2*crowd)
	s := prepare(t)
	for _, attack := range []struct {
		name string
		run  func(*arena, context.Context, *testing.T)
	}{
		{"slow heads", (*arena).slowHeads},
		{"slow bodies", (*arena).slowBodies},
		{"bombs", (*arena).bombs},
		{"deep JSON", (*arena).deepJSON},
		{"headers", (*arena).headers},
		{"endless bodies", (*arena).endlessBodies},
		{"many sockets", (*arena).manySockets},
		{"begun frames", (*arena).begunFrames},
		{"bad frames", (*arena).badFrames},
		{"unread answers", (*arena).unreadAnswers},
		{"leases", (*arena).leases},
		{"over the quota", (*arena).overQuota},
		{"burst", (*arena).burst},
	} {
		t.Run(attack.name, func(t *testing.T) { newArena(t, s).attack(t, attack.run) })
	}
}

// newArena starts a program, and honest clients that use it.
func newArena(t *testing.T, s *site) *arena {
	t.Helper()
	a := &arena{target: s.start(t), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64,
		DisableCompression: true}}}
	t.Cleanup(a.client.CloseIdleConnections)
	name := strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-")
	a.good = newGood(t, a.target, name)
	a.good.await(t, 100) // everything is warm
	a.base = a.usage(t)
	a.beside = newYardsticks(t, s, a.target, name)
	return a
}

// attack runs one attack, measures the program and the honest clients meanwhile, and sees to it that nothing is left.
func (a *arena) attack(t *testing.T, run func(*arena, context.Context, *testing.T)) {
	quiet := time.Now()
	first := a.beside.read(t)
	a.good.await(t, toCompare)
	a.resetPeak(t)
	second := a.beside.read(t)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	run(a, ctx, t)
	a.good.await(t, toCompare) // or what is left of it, if the attack is over
	ended := time.Now()
	third := a.beside.read(t)
	peak := a.memory(t, "VmHWM")
	a.client.CloseIdleConnections()

	before, during := a.good.between(quiet, begun), a.good.between(begun, ended)
	t.Logf("figures: %.1f s, %d MiB + %d; p99 %s, quiet %s", ended.Sub(begun).Seconds(), a.base.rss>>20,
		(peak-a.base.rss)>>20, during, before)
	a.beside.tell(t, "quiet", first, second)
	a.beside.tell(t, "attacked", second, third)
	if peak > a.base.rss+moreBytes {
		t.Errorf("the process had %d MiB, %d more than before", peak>>20, (peak-a.base.rss)>>20)
	}
	if os.Getenv("AUTOBUS_TEST_TIMING") != "" &&
		(during.publish > max(2*before.publish, floor) || during.delivery > max(2*before.delivery, floor)) {
		t.Errorf("honest clients were slowed down: p99 %s, quiet %s", during, before)
	}
	var left usage
	bustest.Eventually(t, "the attack to leave nothing behind", func(context.Context) bool {
		left = a.usage(t)
		return left.goroutines <= a.base.goroutines+20 && left.files <= a.base.files+10
	})
	a.good.finish(t)
	select {
	case <-a.ended:
		t.Fatalf("autobus died: %v\n%s", a.err, &a.stderr)
	default:
	}
	if strings.Contains(a.stderr.String(), `"msg":"panic"`) {
		t.Errorf("a handler panicked\n%s", &a.stderr)
	}
}

// usage asks the program's metrics.
func (a *arena) usage(t *testing.T) usage {
	t.Helper()
	r, err := a.ask(t.Context(), a.good.client, "good", http.MethodGet, "/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) int {
		for in := bufio.NewScanner(bytes.NewReader(r.body)); in.Scan(); {
			if text, ok := strings.CutPrefix(in.Text(), name+" "); ok {
				n, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Fatal(err)
				}
				return int(n)
			}
		}
		t.Fatalf("there is no metric %s", name)
		return 0
	}
	return usage{a.memory(t, "VmRSS"), read("go_goroutines"), read("process_open_fds")}
}

// memory reads a field of the process's status, in bytes.
func (a *arena) memory(t *testing.T, field string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid))
	if err != nil {
		t.Skipf("the memory of a process is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("the process has no %s", field)
	return 0
}

// resetPeak makes VmHWM begin again.
func (a *arena) resetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", a.pid), []byte("5"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// needFiles makes sure that this process may open so many files; the program sees to itself.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < n {
		t.Skipf("an attack needs %d open files, the hard limit is %d", n, limit.Max)
	}
	if limit.Cur < n {
		limit.Cur = limit.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
}

// many runs f so many times at once and counts what they return.
func many(n int, f func(i int) string) map[string]int {
	var (
		mu    sync.Mutex
		all   sync.WaitGroup
		count = map[string]int{}
	)
	for i := range n {
		all.Go(func() {
			said := f(i)
			mu.Lock()
			defer mu.Unlock()
			count[said]++
		})
	}
	all.Wait()
	return count
}

// only makes sure that all ended in one of the ways that are allowed.
func only(t *testing.T, count map[string]int, allowed ...string) {
	t.Helper()
	for said, n := range count {
		if !slices.Contains(allowed, said) {
			t.Errorf("%d ended in %q, not in one of %q", n, said, allowed)
		}
	}
}
