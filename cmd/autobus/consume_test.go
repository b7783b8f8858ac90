// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// What comes while a request is under way goes with the next one; nothing else delays an ack.
func TestAcksGoTogether(t *testing.T) {
	b := startFakeBus(t)
	held := make(chan struct{})
	b.answer = func(results []ack) string {
		<-held
		return allOK(results)
	}
	_, end := consuming(t, b)
	b.frames <- deliveries(0, 1)
	b.frames <- deliveries(1, 2)
	b.frames <- deliveries(3, 2)
	b.frames <- `{"heartbeat":"2026-01-02T03:04:05Z"}`
	close(held)
	var got []string
	requests := 0
	for len(got) < 5 {
		requests++
		for _, a := range <-b.acked {
			if a.Outcome != autobus.Ack {
				t.Errorf("outcome %s", a.Outcome)
			}
			got = append(got, a.Lease)
		}
	}
	code, out := end()
	if code != exitOK || strings.Join(got, " ") != "l0 l1 l2 l3 l4" || strings.Count(out, "\n") != 5 || requests > 4 {
		t.Errorf("exit status %d, acks %v in %d requests, stdout\n%s", code, got, requests, out)
	}
}

// Acks that did not count are told; those that the bus could not take are told to it again.
func TestAcksThatDoNotCount(t *testing.T) {
	b := startFakeBus(t)
	answers := []string{"", `{"results":[{"lease":"l0","status":"failed"},{"lease":"l1","status":"ok"},` +
		`{"lease":"l2","status":"stale"}]}`, `{"results":[{"lease":"l0","status":"ok"}]}`}
	b.answer = func([]ack) string {
		text := answers[0]
		answers = answers[1:]
		return text
	}
	stderr, end := consuming(t, b)
	b.frames <- deliveries(0, 3)
	var told []int
	for range 3 {
		told = append(told, len(<-b.acked))
	}
	code, _ := end()
	if code != exitOK || fmt.Sprint(told) != "[3 3 1]" ||
		stderr.String() != "1 outcome did not count, because the lease had ended: a.b.v1 0/2, of attempt 1. What did not "+
			"count comes again.\n" {
		t.Errorf("exit status %d, acks in requests of %v, stderr %s", code, told, stderr)
	}
}

// The command leaves once, and only once, what it has in hand is settled; what comes meanwhile is not taken.
func TestInterruptedConsumeSettlesFirst(t *testing.T) {
	b := startFakeBus(t)
	asked, held := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(asked) })
	b.answer = func(results []ack) string {
		first()
		<-held
		return allOK(results)
	}
	_, end := consuming(t, b)
	b.frames <- deliveries(0, 2)
	type result struct {
		code int
		out  string
	}
	ended := make(chan result)
	<-asked
	go func() {
		code, out := end()
		ended <- result{code, out}
	}()
	select {
	case r := <-ended:
		t.Fatalf("it left without an answer: %v", r)
	case <-time.After(50 * time.Millisecond):
	}
	close(held)
	r := <-ended
	acked := 0
	for len(b.acked) > 0 {
		acked += len(<-b.acked)
	}
	if r.code != exitOK || acked != strings.Count(r.out, "\n") {
		t.Errorf("exit status %d, %d acks, stdout\n%s", r.code, acked, r.out)
	}
}

// A lost connection is told once and made again; what the bus does not offer ends the work.
func TestConsumeConnectsAgain(t *testing.T) {
	b := startFakeBus(t)
	stderr, end := consuming(t, b)
	b.frames <- deliveries(0, 1)
	<-b.acked
	b.frames <- `{"op":"drain","deadline":"2026-01-02T03:04:05Z"}`
	b.frames <- `{"op":"error","error":{"reason":"shutting_down","code":"unavailable","detail":"going down"}}`
	b.frames <- deliveries(1, 1)
	<-b.acked
	b.frames <- `{"op":"position_lost","subscription":"g","type":"a.b.v1","partition":3,"from":5,"to":9}`
	b.frames <- `{"op":"error","error":{"reason":"subscription_unknown","code":"not_found","detail":"deleted"}}`
	want := "shutting_down: going down. Connecting again.\nConnected again.\n" +
		"Retention deleted the events 5 to 8 of a.b.v1/3 before they were read. The partition stands until somebody " +
		"decides where to go on.\nsubscription_unknown: deleted\n"
	eventually(t, "the end", func() bool { return strings.Contains(stderr.String(), "deleted\n  next: ") })
	if code, _ := end(); code != exitFailed || !strings.HasPrefix(stderr.String(), want) {
		t.Errorf("exit status %d, stderr %s", code, stderr)
	}
}

// A bus that speaks nonsense is none.
func TestConsumeOfNonsense(t *testing.T) {
	for _, frame := range []string{"<html>", `{"op":"error"}`, `{"op":"events","deliveries":[7]}`,
		`{"op":"events","deliveries":[{"lease":"l","event":7}]}`,
		`{"op":"events","deliveries":[{"lease":"l","event":{"data_base64":"?"}}]}`} {
		b := startFakeBus(t)
		stderr, end := consuming(t, b)
		b.frames <- frame
		eventually(t, "a word about "+frame, func() bool {
			return strings.Contains(stderr.String(), "server_unreachable: ")
		})
		if code, out := end(); out != "" || code != exitOK && code != exitUnreachable {
			t.Errorf("%s: exit status %d, stdout %s", frame, code, out)
		}
	}
}

// A bus that goes down and comes back under the same address finds its workers again.
func TestConsumeSurvivesARestart(t *testing.T) {
	s := testSettings(t)
	s.listen, s.embedded.Dir = freePort(t), t.TempDir()
	publish := func(n int) {
		code, _, stderr := invoke(t, "", "publish", "a.b.v1", "-d", fmt.Sprint(n), "--server", "http://"+s.listen)
		if code != exitOK {
			t.Fatalf("exit status %d, stderr %s", code, stderr)
		}
	}
	in, err := start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	publish(1)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout, stderr bustest.Output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"consume", "a.b.v1", "-g", "g", "--from", "earliest", "--server", "http://" + s.listen},
			strings.NewReader(""), &stdout, &stderr)
	}()
	eventually(t, "the first event", func() bool { return strings.HasSuffix(stdout.String(), "  1\n") })
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a word about it", func() bool { return strings.Contains(stderr.String(), "Connecting again.") })
	s.embedded.Addr = "127.0.0.1:0"
	startInstance(t, s)
	publish(2)
	eventually(t, "the second event", func() bool { return strings.HasSuffix(stdout.String(), "  2\n") })
	interrupt()
	if code := <-ended; code != exitOK || strings.Count(stdout.String(), "\n") != 2 {
		t.Errorf("exit status %d, stdout %s, stderr %s", code, &stdout, &stderr)
	}
}
