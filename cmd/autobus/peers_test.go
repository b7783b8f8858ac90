// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// fleet is instances of serve on one broker, each with its own certificate, as their configuration says.
type fleet struct {
	instances []*instance
	configs   []string
	client    *http.Client
	token     string
}

// certified is a certificate and what vouches for it.
type certified struct{ cert, key string }

func newFleet(t *testing.T, names ...string) *fleet {
	t.Helper()
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	dir := t.TempDir()
	secret, authorities, specs := filepath.Join(dir, "secret"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "specs")
	certs := make([]certified, len(names))
	pool, bundle := x509.NewCertPool(), []byte{}
	for i := range names {
		certs[i].cert, certs[i].key, _ = writeCertificate(t)
		chain, err := os.ReadFile(certs[i].cert)
		if err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(chain)
		bundle = append(bundle, chain...)
	}
	for file, text := range map[string][]byte{secret: []byte("sixteen bytes or more"), authorities: bundle,
		filepath.Join(specs, "order.yaml"): []byte(fleetSpec)} {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	f := &fleet{client: &http.Client{Transport: transport}}
	for i, name := range names {
		addr := freePort(t)
		file := writeConfig(t, fmt.Sprintf("listen: %s\ninstance: %s\ntls: {cert_file: %s, key_file: %s}\n"+
			"kafka: {brokers: ['%s']}\npeer_secret_file: %s\npeer_ca_file: %s\nspecs: %s\n", addr, name, certs[i].cert,
			certs[i].key, broker.Addr(), secret, authorities, specs))
		if i == 0 {
			if code, _, stderr := invoke(t, "", "cluster", "init", "--config", file, "--yes"); code != exitOK {
				t.Fatal(stderr)
			}
		}
		cfg, p, err := loadConfig(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := cfg.settings(&app{err: t.Output()}, p)
		if err := p.err(); err != nil {
			t.Fatal(err)
		}
		s.logger = bustest.Logger(t)
		in := startInstance(t, s)
		if err := in.becomeReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.instances, f.configs = append(f.instances, in), append(f.configs, file)
	}
	code, out, stderr := invoke(t, "", "token", "create", "--config", f.configs[0], "--principal", "shop", "-q",
		"--grant", "publish:*", "--grant", "subscribe:*", "--grant", "manage:*")
	if code != exitOK {
		t.Fatal(stderr)
	}
	f.token = strings.TrimSpace(out)
	return f
}

const fleetSpec = `asyncapi: 3.1.0
info: {title: Order placed, version: 1.0.0}
channels:
  placed:
    address: orders.order.placed.v1
    messages: {placed: {$ref: '#/components/messages/placed'}}
    bindings: {kafka: {partitions: 1}}
    x-durability: best-effort
operations:
  placed: {action: send, channel: {$ref: '#/channels/placed'}}
components:
  messages:
    placed: {payload: {type: object, properties: {n: {type: integer}}}}
`

// do makes a request to one of the instances.
func (f *fleet) do(ctx context.Context, t *testing.T, i int, method, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, f.instances[i].url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// answers reads the whole answer, which must have that status.
func (f *fleet) answers(t *testing.T, i int, method, path, body string, want int) string {
	t.Helper()
	resp := f.do(t.Context(), t, i, method, path, body)
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil || resp.StatusCode != want {
		t.Fatalf("%s %s at %d: %d %s (%v), want %d", method, path, i, resp.StatusCode, &b, err, want)
	}
	return b.String()
}

// stream opens a stream with a session at an instance.
func (f *fleet) stream(t *testing.T, i int, session string) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	resp := f.do(ctx, t, i, http.MethodGet, "/v1/subscriptions/shop/stream?window=1&session="+session, "")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("stream at %d: %s", i, resp.Status)
	}
	return bufio.NewReader(resp.Body)
}

// next gives the next delivery of a stream.
func next(t *testing.T, in *bufio.Reader) delivery {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
		var frame struct {
			Deliveries []delivery `json:"deliveries"`
		}
		if err := json.Unmarshal([]byte(line), &frame); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if len(frame.Deliveries) > 0 {
			return frame.Deliveries[0]
		}
	}
}

// Instances with certificates work together as those without do: the one partition is at one of them, and workers,
// acks and goodbyes come to the other.
func TestInstancesWorkTogetherOverTLS(t *testing.T) {
	f := newFleet(t, "a", "b")
	f.answers(t, 0, http.MethodPut, "/v1/subscriptions/shop", `{"types": ["orders.order.placed.v1"], "start": "earliest",
		"retry": {"backoff": ["10ms"], "max_attempts": 2}}`, http.StatusCreated)
	owner := f.stream(t, 0, "owner")
	f.answers(t, 0, http.MethodPost, "/v1/events/orders.order.placed.v1", `{"n": 0}`, http.StatusOK)
	first := next(t, owner)

	// What is settled at the other instance counts at the owner.
	ack := func(i int, d delivery) string {
		return f.answers(t, i, http.MethodPost, "/v1/subscriptions/shop/acks",
			`{"results": [{"lease": "`+d.Lease+`", "outcome": "ack"}]}`, http.StatusOK)
	}
	if got := ack(1, first); !strings.Contains(got, `"status":"ok"`) {
		t.Errorf("an ack at the other instance: %s", got)
	}

	// A worker of the other instance gets what the owner has. Its own goodbye, sent to the wrong instance, ends it at
	// nobody's cost: as the death of a worker that holds one event it would be a failed attempt.
	f.answers(t, 1, http.MethodDelete, "/v1/subscriptions/shop/sessions/owner", "", http.StatusNoContent)
	if _, err := owner.ReadString('\n'); err == nil {
		t.Error("the stream goes on after its goodbye")
	}
	relayed := f.stream(t, 1, "relayed")
	f.answers(t, 1, http.MethodPost, "/v1/events/orders.order.placed.v1", `{"n": 1}`, http.StatusOK)
	for i := range 3 {
		d := next(t, relayed)
		if d.Attempt != 1 {
			t.Errorf("round %d: attempt %d, a goodbye was taken for a death", i, d.Attempt)
		}
		session := fmt.Sprint("relayed-", i)
		f.answers(t, 0, http.MethodDelete, "/v1/subscriptions/shop/sessions/"+map[bool]string{true: "relayed",
			false: fmt.Sprint("relayed-", i-1)}[i == 0], "", http.StatusNoContent)
		relayed = f.stream(t, 1, session)
	}
	if got := ack(0, next(t, relayed)); !strings.Contains(got, `"status":"ok"`) {
		t.Errorf("the last ack: %s", got)
	}
	got := f.answers(t, 0, http.MethodDelete, "/v1/subscriptions/shop/sessions/none", "", http.StatusNotFound)
	if !strings.Contains(got, "session_unknown") {
		t.Errorf("a session of nobody: %s", got)
	}

	// Doctor finds both by what Kafka knows of them, and is let in by their secret.
	_, out, stderr := invoke(t, "", "doctor", "--config", f.configs[0], "-o", "ndjson")
	for _, want := range []string{`"severity":"ok","check":"instance","where":"instance a"`,
		`"severity":"ok","check":"instance","where":"instance b"`, `"severity":"warning","check":"config",` +
			`"where":"tls.cert_file"`, `"severity":"ok","check":"clock","where":"instance b"`} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %s:\n%s%s", want, out, stderr)
		}
	}
	other := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(other, []byte("sixteen other bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AUTOBUS_PEER_SECRET_FILE", other)
	code, out, stderr := invoke(t, "", "doctor", "--config", f.configs[0], "-o", "ndjson")
	if want := `"where":"instance b","what":"runs with another peer secret`; code != exitFound ||
		!strings.Contains(out, want) {
		t.Errorf("with another secret doctor ends with %d and does not say %s:\n%s%s", code, want, out, stderr)
	}
}

// An instance that does not trust the other's certificate says so, and nobody takes it for a verdict.
func TestAnInstanceWithoutTheAuthorityIsUnreachable(t *testing.T) {
	f := newFleet(t, "a", "b")
	f.answers(t, 0, http.MethodPut, "/v1/subscriptions/shop",
		`{"types": ["orders.order.placed.v1"], "start": "earliest"}`, http.StatusCreated)
	own, err := os.ReadFile(f.configs[1])
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := writeCertificate(t)
	stranger := filepath.Join(filepath.Dir(key), "..", "stranger.pem")
	cert, _, _ := writeCertificate(t)
	raw, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stranger, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(own)) {
		switch {
		case strings.HasPrefix(line, "peer_ca_file: "):
			line = "peer_ca_file: " + stranger + "\n"
		case strings.HasPrefix(line, "instance: "):
			line = "instance: c\n"
		case strings.HasPrefix(line, "listen: "):
			line = "listen: " + freePort(t) + "\n"
		}
		lines = append(lines, line)
	}
	cfg, p, err := loadConfig(writeConfig(t, strings.Join(lines, "")), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.settings(&app{err: t.Output()}, p)
	s.logger = slog.New(slog.DiscardHandler)
	f.instances = append(f.instances, startInstance(t, s))
	f.client.Transport.(*http.Transport).TLSClientConfig.RootCAs.AppendCertsFromPEM(raw)

	owner := f.stream(t, 0, "owner")
	f.answers(t, 0, http.MethodPost, "/v1/events/orders.order.placed.v1", `{"n": 0}`, http.StatusOK)
	d := next(t, owner)
	body := `{"results": [{"lease": "` + d.Lease + `", "outcome": "ack"}]}`
	got := f.answers(t, 2, http.MethodPost, "/v1/subscriptions/shop/acks", body, http.StatusMultiStatus)
	if !strings.Contains(got, "peer_unreachable") || !strings.Contains(got, `"status":"failed"`) {
		t.Errorf("the ack: %s", got)
	}
	got = f.answers(t, 2, http.MethodDelete, "/v1/subscriptions/shop/sessions/owner", "", http.StatusServiceUnavailable)
	if !strings.Contains(got, "peer_unreachable") {
		t.Errorf("the goodbye: %s", got)
	}
	begin := time.Now()
	f.answers(t, 1, http.MethodPost, "/v1/subscriptions/shop/acks", body, http.StatusOK)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the ack at one that is trusted took %s", took)
	}
}
