// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// testSettings are those of a dev on free ports, in memory.
func testSettings(t *testing.T) settings {
	t.Helper()
	builtin, err := demoSpecs()
	if err != nil {
		t.Fatal(err)
	}
	return settings{
		dev: true, instance: "test", listen: "127.0.0.1:0", builtin: builtin, drain: time.Second,
		push:  pushSettings{allow: loopbackNets()},
		hosts: []string{"localhost", "127.0.0.1"}, kafka: kafka.Config{Name: "test"},
		embedded: &kafka.EmbeddedConfig{Addr: "127.0.0.1:0"},
		logger:   slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// startInstance runs the real wiring in this process until the test ends.
func startInstance(t *testing.T, s settings) *instance {
	t.Helper()
	in, err := start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return in
}

func TestProbe(t *testing.T) {
	in := startInstance(t, testSettings(t))
	if err := in.probe(t.Context()); err != nil {
		t.Error(err)
	}
}

// The schema registry is below a path of the API, and on a port of its own where nothing else is.
func TestSchemaRegistryPort(t *testing.T) {
	s := testSettings(t)
	s.schemas = "127.0.0.1:0"
	in := startInstance(t, s)
	own := "http://" + in.schemas.Addr().String()
	for url, want := range map[string]int{
		in.url() + "/schema-registry/subjects": 200, own + "/subjects": 200, own + "/": 200,
		own + "/v1/status": 404, own + "/schema-registry/subjects": 404,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", url, res.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// The bus is reachable by its address only; a name that somebody else points at this machine is refused.
func TestForeignHostIsRefused(t *testing.T) {
	s := testSettings(t)
	s.hosts = []string{"bus.example"}
	in := startInstance(t, s)
	var stderr bytes.Buffer
	run(t.Context(), []string{"types", "list", "--server", in.url()}, &bytes.Buffer{}, &bytes.Buffer{}, &stderr)
	if !strings.Contains(stderr.String(), string(autobus.ReasonOriginForbidden)) {
		t.Errorf("got %q", stderr.String())
	}
}

// A start that fails half-way leaves nothing behind: goleak looks, and the port is free again.
func TestFailedStartClosesWhatWasOpened(t *testing.T) {
	s := testSettings(t)
	s.embedded = nil
	s.kafka.Brokers = []string{"127.0.0.1:1"}
	port := freePort(t)
	s.listen = port
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := start(ctx, s)
	if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonClusterUnreachable}) {
		t.Fatalf("got %v", err)
	}
	ln, err := net.Listen("tcp", port)
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	_ = ln.Close()
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// serve on a cluster that nobody prepared says what to run.
func TestServeWantsAControlLog(t *testing.T) {
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	file := writeConfig(t, "listen: 127.0.0.1:0\nkafka: {brokers: ['"+broker.Addr()+"']}\n")
	code, out, stderr := invoke(t, "", "serve", "--config", file)
	if code != exitFailed || out != "" || !strings.Contains(stderr, "cluster_not_ready: ") ||
		!strings.Contains(stderr, "next: Run: autobus cluster init --config "+file) {
		t.Fatalf("exit status %d, stdout %q, stderr %s", code, out, stderr)
	}

	// A plan is shown and nothing done without a yes; then it is made, once.
	code, out, stderr = invoke(t, "", "cluster", "init", "--config", file)
	if code != exitConfirm || out != "" || !strings.Contains(stderr, "would get the topic _autobus.control") {
		t.Fatalf("exit status %d, stdout %q, stderr %s", code, out, stderr)
	}
	if code, _, _ := invoke(t, "", "serve", "--config", file); code != exitFailed {
		t.Fatalf("exit status %d: the plan was carried out", code)
	}
	for _, want := range []string{`"created":true`, `"created":false`} {
		code, out, stderr = invoke(t, "", "cluster", "init", "--config", file, "--yes", "-o", "ndjson")
		if code != exitOK || !strings.Contains(out, want) {
			t.Fatalf("exit status %d, stdout %q, stderr %s", code, out, stderr)
		}
	}
	code, _, stderr = invoke(t, "", "token", "create", "--config", file, "--principal", "a", "--grant", "publish:*")
	if code != exitOK {
		t.Fatalf("exit status %d, stderr %s", code, stderr)
	}
}

// A part that fails ends the instance with its error.
func TestFailingPartEndsTheInstance(t *testing.T) {
	in := startInstance(t, testSettings(t))
	broken := errors.New("broken")
	in.run(in.core, "part", func(context.Context) error { return broken })
	if err := in.wait(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "part: ") {
		t.Errorf("got %v", err)
	}
}

// A tail is told that the instance goes down, and the stop does not wait for it to be read out.
func TestStopEndsTails(t *testing.T) {
	in, err := start(t.Context(), testSettings(t))
	if err != nil {
		t.Fatal(err)
	}
	var sent, stderr bytes.Buffer
	if code := run(t.Context(), []string{"publish", demoPlaced, "--example", "--server", in.url()}, &bytes.Buffer{}, &sent,
		&stderr); code != exitOK {
		t.Fatalf("exit status %d, stderr %q", code, stderr.String())
	}
	var out bytes.Buffer
	began := &notifyWriter{Buffer: &out, written: make(chan struct{}, 1)}
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"tail", "demo.*", "--from", "earliest", "--server", in.url()}, &bytes.Buffer{},
			began, &stderr)
	}()
	<-began.written
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	if code := <-ended; code != exitUnreachable || !strings.Contains(stderr.String(), "shutting_down") {
		t.Errorf("exit status %d, stderr %q", code, stderr.String())
	}
}

type notifyWriter struct {
	*bytes.Buffer
	written chan struct{}
}

func (w *notifyWriter) Write(p []byte) (int, error) {
	select {
	case w.written <- struct{}{}:
	default:
	}
	return w.Buffer.Write(p)
}
