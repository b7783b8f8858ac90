// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// answerScript answers by the number that was asked and keeps a book of what it did. While there is a file "hold" it
// notes the request as held and waits, as long as the program that called it lives.
const answerScript = `
n=$(tr -cd 0-9)
if test -e hold
then
	echo "$PPID $AUTOBUS_ATTEMPT $AUTOBUS_ID" >>held
	while test -e hold; do kill -0 $PPID 2>/dev/null || exit 1; sleep 0.05; done
fi
kill -0 $PPID 2>/dev/null || exit 1
echo "$PPID $AUTOBUS_ATTEMPT $AUTOBUS_ID" >>done
echo "{\"amount\":$n}"
`

// TestKillResponder is the short form of T20-server.
func TestKillResponder(t *testing.T) {
	killResponder(t, clusterStand(t, bustest.Cluster(t)), scale{kills: 1}, &row{})
}

// killResponder kills one of two processes that answer, while each has requests in hand. The other one gets those of
// the dead one, and every caller his answer, once.
func killResponder(t *testing.T, s *stand, sc scale, r *row) {
	a := newAsking(t, s)
	g := s.start(t)
	folder := t.TempDir()
	script := filepath.Join(folder, "answer.sh")
	if err := os.WriteFile(script, []byte(answerScript), 0o644); err != nil {
		t.Fatal(err)
	}
	name := bustest.Prefix()
	command(t, s.bin, "subscription", "create", name, "--type", a.typ, "--from", "earliest", "--server", g.url,
		"--token", s.token)
	server := func() *program {
		return run(t, func(string) {}, s.bin, "reply", a.typ, "-g", name, "--workers", "8", "--server", g.url, "--token",
			s.token, "--exec", "cd "+folder+" && exec sh answer.sh")
	}
	one, two := server(), server()
	attempts := map[int]int{}
	var moved int
	for kill := range sc.kills {
		hold := filepath.Join(folder, "hold")
		if err := os.WriteFile(hold, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		var before int
		bustest.Eventually(t, "requests in the hands of both", func(context.Context) bool {
			if a.waiting.Load() < 16 {
				q := question{id: autobus.NewID(time.Now()), n: a.next.Add(1)}
				a.waiting.Add(1)
				a.calls.Go(func() {
					defer a.waiting.Add(-1)
					ctx, cancel := context.WithTimeout(context.Background(), 2*bustest.Patience)
					defer cancel()
					if !a.ask(ctx, g, q) {
						t.Errorf("the call %s broke", q.id)
					}
				})
			}
			before = len(book(t, folder, "held", one))
			return before > 0 && len(book(t, folder, "held", two)) > 0 && a.waiting.Load() >= 16
		})
		held := book(t, folder, "held", one)
		one.kill()
		if !one.killed() {
			t.Fatalf("the server did not die of the kill: %v\n%s", one.err, one.stderr)
		}
		if err := os.Remove(hold); err != nil {
			t.Fatal(err)
		}
		a.calls.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
		if n := a.fetchAll(ctx, g, a.places); n < len(a.places) {
			t.Errorf("%d of %d late answers were found", n, len(a.places))
		}
		cancel()
		a.places = nil
		finished := book(t, folder, "done", two)
		for id := range held {
			attempt, ok := finished[id]
			if !ok {
				t.Errorf("kill %d: the dead server had the request %s, and the other one did not answer it", kill+1, id)
			}
			attempts[attempt]++
			moved++
		}
		if n := len(book(t, folder, "done", one)); n > 0 && kill == 0 {
			t.Errorf("the server that was killed had answered %d requests: it proves nothing", n)
		}
		for _, name := range []string{"held", "done"} {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
		one, two = two, server()
	}
	rep := a.judge(t, s.broker)
	if moved == 0 {
		t.Error("no request was in the hands of a server that was killed: it proves nothing")
	}
	var counts []string
	for attempt, n := range attempts {
		counts = append(counts, fmt.Sprintf("%d at attempt %d", n, attempt))
	}
	r.asked(t, sc, rep, "%d kills, the dead servers had %d requests in hand, all answered by the other one (%s)", sc.kills,
		moved, strings.Join(counts, ", "))
}

// book reads which requests a program has in a book, and at which attempt.
func book(t *testing.T, folder, name string, p *program) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var pid, attempt int
		var id string
		if _, err := fmt.Sscan(line, &pid, &attempt, &id); err == nil && pid == p.cmd.Process.Pid {
			all[id] = attempt
		}
	}
	return all
}
