// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// killed is an instance of serve in a process of its own.
type killed struct {
	cmd  *exec.Cmd
	url  string
	done chan struct{} // closed when the process is gone
	err  error
	said bustest.Output
}

// startServe runs serve and returns once it takes events.
func startServe(t *testing.T, config, name string) *killed {
	t.Helper()
	path, err := exec.LookPath("autobus") // testscript put the test binary there
	if err != nil {
		t.Fatal(err)
	}
	p := &killed{done: make(chan struct{}),
		cmd: exec.Command(path, "serve", "--config", config, "--instance", name, "--listen", "127.0.0.1:0")}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		for in := bufio.NewScanner(stderr); in.Scan(); {
			fmt.Fprintln(&p.said, in.Text())
			if _, rest, ok := strings.Cut(in.Text(), "listen="); ok && strings.Contains(in.Text(), "msg=ready") {
				addr, _, _ := strings.Cut(rest, " ")
				ready <- "http://" + addr
			}
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	select {
	case p.url = <-ready:
	case <-p.done:
		t.Fatalf("serve ended: %v\n%s", p.err, &p.said)
	}
	return p
}

// kill ends the process by SIGKILL and returns when it is gone.
func (p *killed) kill() {
	_ = p.cmd.Process.Kill() // fails when it is gone already
	<-p.done
}

// endpoint notes what is posted, and answers at once or only when it is let.
type endpoint struct {
	mu      sync.Mutex
	posted  []string       // "key n", in order
	again   map[string]int // how often each was posted
	done    map[string]bool
	holding chan struct{} // closed when requests are answered; nil = at once
	held    map[string]bool
	broken  chan string // requests whose sender went away
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	id := string(body)
	e.mu.Lock()
	e.posted = append(e.posted, id)
	e.again[id]++
	wait := e.holding
	e.held[id] = wait != nil
	e.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
			e.broken <- id
			return
		}
	}
	e.mu.Lock()
	e.held[id], e.done[id] = false, true
	e.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// waiting are the requests that are not answered.
func (e *endpoint) waiting() (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, held := range e.held {
		if held {
			ids = append(ids, id)
		}
	}
	return ids
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.done)
}

const killSpec = `asyncapi: 3.1.0
info: {title: Order placed, version: 1.0.0}
channels:
  placed:
    address: orders.order.placed.v1
    messages: {placed: {$ref: '#/components/messages/placed'}}
    bindings: {kafka: {partitions: 4}}
    x-durability: best-effort
operations:
  placed: {action: send, channel: {$ref: '#/channels/placed'}}
components:
  messages:
    placed:
      bindings: {kafka: {key: {type: string, x-from: /k}}}
      payload: {type: object, properties: {k: {type: string}, n: {type: integer}}}
`

// TestAKilledPusherSkipsNothing has two instances push one subscription, and kills one of them while requests are under
// way: these come again by the other one, nothing else does, nothing is skipped, and each key keeps its order.
func TestAKilledPusherSkipsNothing(t *testing.T) {
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	specs := t.TempDir()
	if err := os.WriteFile(filepath.Join(specs, "order.yaml"), []byte(killSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	config := writeConfig(t, fmt.Sprintf("kafka: {brokers: ['%s']}\nspecs: %s\npush: {allow: [127.0.0.0/8]}\n"+
		"log: {format: text}\n", broker.Addr(), specs))
	if code, _, stderr := invoke(t, "", "cluster", "init", "--config", config, "--yes"); code != exitOK {
		t.Fatal(stderr)
	}
	code, token, stderr := invoke(t, "", "token", "create", "--config", config, "--principal", "shop", "-q", "--grant",
		"publish:*", "--grant", "subscribe:*", "--grant", "manage:*")
	if code != exitOK {
		t.Fatal(stderr)
	}
	t.Setenv("AUTOBUS_TOKEN", strings.TrimSpace(token))
	a, b := startServe(t, config, "a"), startServe(t, config, "b")
	at := &endpoint{again: map[string]int{}, done: map[string]bool{}, held: map[string]bool{},
		broken: make(chan string, 100)}
	server := httptest.NewServer(at)
	defer server.Close()
	if code, _, stderr := invoke(t, "", "subscription", "create", "shop", "--type", "orders.order.placed.v1", "--from",
		"earliest", "--push", server.URL, "--server", a.url); code != exitOK {
		t.Fatal(stderr)
	}
	holds := func(p *killed) map[int32]bool {
		_, out, _ := invoke(t, "", "subscription", "describe", "shop", "-o", "json", "--server", p.url)
		var s bus.SubscriptionInfo
		parts := map[int32]bool{}
		if json.Unmarshal([]byte(out), &s) == nil && s.Instance != nil {
			for _, part := range s.Instance.Partitions {
				parts[part.Partition] = true
			}
		}
		return parts
	}
	bustest.Eventually(t, "both instances to push", func(context.Context) bool {
		return len(holds(a)) == 2 && len(holds(b)) == 2
	})

	partition := map[string]int32{}
	publish := func(from, to int) { // two of each key
		t.Helper()
		var lines strings.Builder
		for n := range 2 {
			for k := from; k < to; k++ {
				fmt.Fprintf(&lines, "{\"k\":\"k%d\",\"n\":%d}\n", k, n)
			}
		}
		code, out, stderr := invoke(t, lines.String(), "publish", "orders.order.placed.v1", "--ndjson", "-o", "ndjson",
			"--server", b.url)
		if code != exitOK {
			t.Fatal(stderr)
		}
		sent := strings.Split(strings.TrimSpace(lines.String()), "\n")
		for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
			var r struct {
				Partition int32 `json:"partition"`
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			partition[sent[i]] = r.Partition
		}
	}
	undone := func() int64 {
		_, out, _ := invoke(t, "", "subscription", "lag", "shop", "-o", "json", "--server", b.url)
		lag := bus.Lag{Undone: -1}
		_ = json.Unmarshal([]byte(out), &lag) // it is asked again
		return lag.Undone
	}
	publish(0, 20)
	bustest.Eventually(t, "the first ones to be done, and committed", func(context.Context) bool {
		return at.count() == 40 && undone() == 0
	})
	at.mu.Lock()
	open := make(chan struct{})
	at.holding = open
	at.mu.Unlock()
	publish(20, 36)
	bustest.Eventually(t, "a request for each key", func(context.Context) bool { return len(at.waiting()) == 16 })
	lost := map[string]bool{} // at the instance that is killed
	mine := holds(a)
	for _, id := range at.waiting() {
		if mine[partition[id]] {
			lost[id] = true
		}
	}
	a.kill()
	if exit := new(exec.ExitError); !errors.As(a.err, &exit) ||
		exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it did not die of the kill: %v\n%s", a.err, &a.said)
	}
	if len(lost) == 0 || len(lost) == 16 {
		t.Fatalf("%d of 16 requests were under way at the instance that was killed: it proves nothing", len(lost))
	}
	for range lost {
		if id := <-at.broken; !lost[id] {
			t.Errorf("%s was not under way at the instance that was killed", id)
		}
	}
	at.mu.Lock()
	at.holding = nil
	at.mu.Unlock()
	close(open)
	bustest.Eventually(t, "everything to be done", func(context.Context) bool {
		return at.count() == 72 && undone() == 0
	})
	seen := map[string]bool{}
	for _, id := range at.posted {
		if first := strings.Replace(id, `"n":1`, `"n":0`, 1); first != id && !seen[first] {
			t.Errorf("%s came before the first of its key", id)
		}
		seen[id] = true
	}
	for id, n := range at.again {
		if want := map[bool]int{false: 1, true: 2}[lost[id]]; n != want {
			t.Errorf("%s was posted %d times, want %d", id, n, want)
		}
	}
}
