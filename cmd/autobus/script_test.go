// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// TestScripts plays testdata/script: the real program, its processes, its exit statuses. Beside testscript's own
// commands there are:
//
//	dev [-as NAME] [flag...]    starts autobus dev on free ports and waits until it is ready; sets AUTOBUS_SERVER and
//	                            KAFKA, with -as NAME_SERVER and NAME_KAFKA instead
//	serve [flag...]             starts autobus serve on a free port and waits until it is ready; sets SERVE
//	broker                      starts an embedded broker without a bus; sets BROKER
//	topics BROKERS              wants the brokers to have no topics
//	interrupt                   sends the process started last a SIGINT and wants exit status 0
//	until command [arg...]      runs a command again and again until it succeeds
//	until status TEXT           asks /v1/status until it holds the text
//	exits N command [arg...]    runs a command that must end with status N
//	post TYPE DATA              publishes as curl would; the answer's status and body become stdout
//	ack GROUP FILE OUTCOME [DELAY]
//	                            settles the lease in the first line of a file; the answer's status and body become stdout
//	lines FILE N                wants a file of N lines
//	topic set|grow|delete BROKERS NAME [VALUE]
//	                            changes a topic behind the bus's back: a setting key=value, the number of partitions
//	newer BROKERS KIND NAME     writes a control record of a version to come
//	freeport NAME               sets NAME to a port on which nobody listens
//	squat NAME                  listens on a port, hangs up on everybody, and sets NAME to it
//	sameevents A B              wants the events of two files of tail to be equal in all but partition and offset
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			examples, err := filepath.Abs("../../examples")
			if err != nil {
				return err
			}
			e.Setenv("EXAMPLES", examples)
			e.Values[lastProcess{}] = new(*process)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dev": scriptDev, "serve": scriptServe, "interrupt": scriptInterrupt, "exits": scriptExits,
			"post": scriptPost, "ack": scriptAck, "until": scriptUntil,
			"broker": scriptBroker, "topics": scriptTopics, "lines": scriptLines, "sameevents": scriptSameEvents,
			"topic": scriptTopic, "newer": scriptNewer, "freeport": scriptFreePort, "squat": scriptSquat,
		},
	})
}

// process is a program that runs beside a script.
type process struct {
	cmd    *exec.Cmd
	exited chan error
	errors bustest.Output
}

// launch starts autobus and gives the first line of output for which ready is true.
func launch(ts *testscript.TestScript, stdout bool, ready func(string) bool, args ...string) (p *process, line string) {
	path, err := exec.LookPath("autobus") // testscript put the test binary there
	ts.Check(err)
	p = &process{cmd: exec.Command(path, args...), exited: make(chan error, 1)}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = append(os.Environ(), "NO_COLOR=1", "HOME="+ts.Getenv("HOME"))
	for _, name := range []string{"AUTOBUS_KAFKA_BROKERS", "AUTOBUS_CONFIG"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	var watch io.Reader
	if stdout {
		p.cmd.Stderr = &p.errors
		watch, err = p.cmd.StdoutPipe()
	} else {
		watch, err = p.cmd.StderrPipe()
	}
	ts.Check(err)
	ts.Check(p.cmd.Start())
	found := make(chan string, 1)
	go func() {
		in := bufio.NewScanner(watch)
		for in.Scan() {
			if !stdout {
				fmt.Fprintln(&p.errors, in.Text())
			}
			if ready(in.Text()) {
				select {
				case found <- in.Text():
				default:
				}
			}
		}
		p.exited <- p.cmd.Wait()
	}()
	ts.Defer(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
	})
	select {
	case line = <-found:
	case err := <-p.exited:
		p.exited <- err
		ts.Fatalf("autobus %s ended: %v\n%s", strings.Join(args, " "), err, &p.errors)
	case <-time.After(30 * time.Second):
		ts.Fatalf("autobus %s is not ready\n%s", strings.Join(args, " "), &p.errors)
	}
	return p, line
}

func scriptDev(ts *testscript.TestScript, _ bool, args []string) {
	prefix := ""
	if len(args) > 1 && args[0] == "-as" {
		prefix, args = args[1]+"_", args[2:]
	}
	begin := time.Now()
	p, line := launch(ts, true, func(s string) bool { return strings.HasPrefix(s, "{") },
		append([]string{"dev", "--port", "0", "--kafka-port", "0", "-o", "json"}, args...)...)
	if took := time.Since(begin); took > 10*time.Second {
		ts.Fatalf("dev was ready after %s", took)
	}
	var info bannerInfo
	ts.Check(json.Unmarshal([]byte(line), &info))
	if prefix == "" {
		ts.Setenv("AUTOBUS_SERVER", info.API)
	} else {
		ts.Setenv(prefix+"SERVER", info.API)
	}
	ts.Setenv(prefix+"KAFKA", info.Kafka)
	ts.Setenv("PID", strconv.Itoa(p.cmd.Process.Pid))
	running(ts, p)
}

func scriptServe(ts *testscript.TestScript, _ bool, args []string) {
	p, line := launch(ts, false, func(s string) bool { return strings.Contains(s, "msg=ready") },
		append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	_, rest, _ := strings.Cut(line, "listen=")
	addr, _, _ := strings.Cut(rest, " ")
	ts.Setenv("SERVE", "http://"+addr)
	running(ts, p)
}

// lastProcess is the key under which a script remembers what interrupt ends.
type lastProcess struct{}

func running(ts *testscript.TestScript, p *process) { *ts.Value(lastProcess{}).(**process) = p }

func scriptInterrupt(ts *testscript.TestScript, _ bool, _ []string) {
	p := *ts.Value(lastProcess{}).(**process)
	if p == nil {
		ts.Fatalf("nothing was started")
	}
	ts.Check(p.cmd.Process.Signal(syscall.SIGINT))
	select {
	case err := <-p.exited:
		p.exited <- err
		if err != nil {
			ts.Fatalf("interrupted: %v\n%s", err, &p.errors)
		}
	case <-time.After(30 * time.Second):
		ts.Fatalf("still there after an interrupt\n%s", &p.errors)
	}
}

func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// scriptUntil waits for what happens in its own time, such as the reload of specs.
func scriptUntil(ts *testscript.TestScript, _ bool, args []string) {
	once := func() bool { return ts.Exec(args[0], args[1:]...) == nil }
	if args[0] == "status" {
		once = func() bool { return strings.Contains(httpText(ts, http.MethodGet, "/v1/status", ""), args[1]) }
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !once(); <-tick.C {
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within 20 s", strings.Join(args, " "))
		}
	}
}

// httpText makes a request as curl would and gives status and body.
func httpText(ts *testscript.TestScript, method, path, body string) string {
	url := ts.Getenv("AUTOBUS_SERVER") + path
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	return fmt.Sprintf("%d %s", resp.StatusCode, answer)
}

func scriptPost(ts *testscript.TestScript, _ bool, args []string) {
	_, err := io.WriteString(ts.Stdout(), httpText(ts, http.MethodPost, "/v1/events/"+args[0], args[1]))
	ts.Check(err)
}

func scriptAck(ts *testscript.TestScript, _ bool, args []string) {
	line, _, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	var d delivery
	ts.Check(json.Unmarshal([]byte(line), &d))
	outcome := map[string]string{"lease": d.Lease, "outcome": args[2]}
	if len(args) > 3 {
		outcome["delay"] = args[3]
	}
	body, err := json.Marshal(map[string]any{"results": []any{outcome}})
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), httpText(ts, http.MethodPost, "/v1/subscriptions/"+args[0]+"/acks", string(body)))
	ts.Check(err)
}

func scriptLines(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); got != want {
		ts.Fatalf("%s has %d lines, want %d", args[0], got, want)
	}
}

func scriptSameEvents(ts *testscript.TestScript, _ bool, args []string) {
	a, b := eventsByID(ts, args[0]), eventsByID(ts, args[1])
	if len(a) == 0 || len(a) != len(b) {
		ts.Fatalf("%d and %d events", len(a), len(b))
	}
	for id, event := range a {
		if event != b[id] {
			ts.Fatalf("event %s differs:\n%s\n%s", id, event, b[id])
		}
	}
}

// eventsByID reads the lines of tail. The values are compacted JSON: the order of members is part of what must come
// back.
func eventsByID(ts *testscript.TestScript, file string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(ts.ReadFile(file)) {
		var l tailLine
		ts.Check(json.Unmarshal([]byte(line), &l))
		var id struct{ ID string }
		ts.Check(json.Unmarshal(l.Event, &id))
		var compact bytes.Buffer
		ts.Check(json.Compact(&compact, l.Event))
		out[id.ID] = compact.String()
	}
	return out
}

func scriptBroker(ts *testscript.TestScript, _ bool, _ []string) {
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	ts.Defer(func() { _ = broker.Close() })
	ts.Setenv("BROKER", broker.Addr())
}

func scriptTopics(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	log, err := kafka.Open(ctx, kafka.Config{Brokers: args, Logger: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	defer log.Close(ctx)
	topics, err := log.Topics(ctx)
	ts.Check(err)
	if len(topics) > 0 {
		ts.Fatalf("there are topics: %v", slices.Sorted(maps.Keys(topics)))
	}
}
