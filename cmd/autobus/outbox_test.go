// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
)

// The outbox from the empty database on: the table, a relay, what it shows, and what an operator does about a row that
// the bus refuses.
func TestOutbox(t *testing.T) {
	server := bustest.Postgres(t)
	t.Setenv("AUTOBUS_OUTBOX_DSN", server.DSN("postgres"))
	in := startInstance(t, testSettings(t))
	must := func(status int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := invoke(t, "", append([]string{"outbox"}, args...)...)
		if code != status {
			t.Fatalf("outbox %v: exit status %d, want %d\n%s%s", args, code, status, stdout, stderr)
		}
		return stdout, stderr
	}
	if _, stderr := must(exitFailed, "status"); !strings.Contains(stderr, "next: Make it with what autobus outbox ddl") {
		t.Errorf("without a table: %s", stderr)
	}
	ddl, _ := must(exitOK, "ddl")
	server.Psql(t, "postgres", ddl)
	if out, _ := must(exitOK, "status"); !strings.Contains(out, "none is at work") {
		t.Errorf("the status is %s", out)
	}

	addr := freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	var said bustest.Output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"outbox", "run", "--server", in.url(), "--listen", addr}, &bytes.Buffer{}, io.Discard,
			&said)
	}()
	defer func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("the relay ended with exit status %d", code)
		}
		if t.Failed() {
			t.Logf("the relay said:\n%s", said.String())
		}
	}()
	server.Psql(t, "postgres", `INSERT INTO autobus_outbox (type, key, data) VALUES
		('demo.order.placed.v1', 'o-1', '{"order_id": "o-1"}'),
		('demo.order.placed.v1', 'o-1', '{"order_id": "o-1", "customer": "Mira", "country": "kz", "currency": "KZT",
			"items": [{"sku": "boots-38", "quantity": 1, "price": 24990}], "total": 24990}')`)
	var st outboxStatus
	bustest.Eventually(t, "one row is refused and one waits", func(context.Context) bool {
		out, _ := must(exitOK, "status", "-o", "json")
		if err := json.Unmarshal([]byte(out), &st); err != nil {
			t.Fatal(err)
		}
		return st.Refused == 1 && len(st.Failed) > 0
	})
	if st.Held != 1 || st.Worker == nil {
		t.Errorf("the status is %+v", st)
	}
	if out, _ := must(exitOK, "status"); !strings.Contains(out, "held behind a refused row") ||
		!strings.Contains(out, "set aside: autobus outbox refused") {
		t.Errorf("the status is %s", out)
	}
	out, _ := must(exitOK, "refused", "-o", "ndjson")
	var row refusedRow
	if err := json.Unmarshal([]byte(out), &row); err != nil || row.Seq != 1 || row.Held != 1 || row.Reason == "" {
		t.Errorf("the refused row is %s, %v", out, err)
	}

	// Nothing changes without a yes.
	for _, verb := range []string{"retry", "drop"} {
		if out, stderr := must(exitConfirm, verb, "1"); !strings.Contains(out, row.Reason) ||
			!strings.Contains(stderr, "confirmation_needed") {
			t.Errorf("%s: %s%s", verb, out, stderr)
		}
		must(exitUsage, verb)
		must(exitUsage, verb, "one")
		if _, stderr := must(exitOK, verb, "2", "--yes"); !strings.Contains(stderr, "There are no such rows.") {
			t.Errorf("%s of a row that is not refused: %s", verb, stderr)
		}
	}
	if _, stderr := must(exitOK, "retry", "--reason", row.Reason, "--yes"); !strings.Contains(stderr, "1 row.") {
		t.Errorf("retry: %s", stderr)
	}
	bustest.Eventually(t, "it is refused again", func(context.Context) bool {
		out, _ := must(exitOK, "refused", "1", "-o", "json")
		return strings.Contains(out, row.Reason)
	})
	if _, stderr := must(exitOK, "drop", "--all", "--yes"); !strings.Contains(stderr, "1 row.") {
		t.Errorf("drop: %s", stderr)
	}
	bustest.Eventually(t, "the row behind it is sent", func(context.Context) bool {
		out, _ := must(exitOK, "status", "-o", "ndjson")
		return strings.HasPrefix(out, `{"pending":0,"lag":"0s","held":0,"refused":0,`)
	})
	if code, out, stderr := invoke(t, "", "tail", "demo.order.placed.v1", "--from", "earliest", "-n", "1", "--server",
		in.url()); code != exitOK || !strings.Contains(out, "o-1") {
		t.Errorf("exit status %d, %s%s", code, out, stderr)
	}

	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), "autobus_outbox_events_total{outcome=\"written\"} 1\n") {
		t.Errorf("the metrics are %s, %v", text, err)
	}
}

const outboxReference = "../../docs/reference/outbox.md"

// TestOutboxReference holds docs/reference/outbox.md to the comments of the configuration; -update writes it.
func TestOutboxReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("<!-- Generated from cmd/autobus/outbox_config.go by go test ./cmd/autobus -update. -->\n\n" +
		"# Configuration of `autobus outbox`\n\n" +
		"A YAML file given by `--config`, which may be left away; a variable wins over the file, a flag over the\n" +
		"variable. The rules are those of [serve's configuration](config.md). The bus is where `--server` and\n" +
		"`--token-file` say, as for every command. What it is for:\n" +
		"[publish from your own transaction](../howto/outbox.md).\n" +
		"Below: the key, its default, its variable.\n\n" +
		"```yaml\ndsn: postgres://relay@db.example.com/shop?sslmode=verify-full\npassword_file: /run/secrets/relay\n" +
		"table: autobus_outbox\nkeep: 72h\nlisten: 0.0.0.0:7071\n```\n\n")
	c := defaultOutboxConfig()
	renderKeys(t, &b, outboxVariables, valueOf(&c), configComments(t, "outbox_config.go", "outboxConfig"))
	golden(t, outboxReference, b.String())
}

func TestOutboxConfig(t *testing.T) {
	t.Setenv("PGHOST", "")
	for _, c := range []struct {
		file, want string
		flags      flagValues
	}{
		{"", "no database is named", nil},
		{"dsn: 'postgres://a:b@c/d'\n", "it has a password", nil},
		{"dsn: 'postgres://a@c:x/d'\n", "it cannot be read", nil},
		{"dsn: host=c\ntable: a-b\non_refused: cry\nkeep: -1s\npoll: 1ms\nbatch: 1001\nlisten: here\nlog: {level: loud}\n",
			"7 faults", nil},
		{"dsn: host=c\nkeeep: 1h\n", "did you mean keep?", nil},
		{"dsn: host=c\npassword_file: /nowhere\n", "password_file: ", nil},
		{"", "keep: \"long\" must be a duration", flagValues{"dsn": "host=c", "keep": "long"}},
	} {
		_, _, _, err := loadOutboxConfig(writeConfig(t, c.file), c.flags)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.file, err, c.want)
		}
	}
	t.Setenv("AUTOBUS_OUTBOX_KEEP", "0s")
	t.Setenv("AUTOBUS_OUTBOX_TABLE", "shop.events")
	cfg, _, database, err := loadOutboxConfig("", flagValues{"dsn": "postgres://a:b@c/d", "table": "events"})
	if err != nil || cfg.Keep != 0 || cfg.Table != "events" || database.Password != "b" {
		t.Errorf("%+v, %v", cfg, err)
	}
	t.Setenv("AUTOBUS_OUTBOX_KEP", "1h")
	if _, _, _, err := loadOutboxConfig("", flagValues{"dsn": "host=c"}); err == nil ||
		!strings.Contains(err.Error(), "did you mean AUTOBUS_OUTBOX_KEEP?") {
		t.Errorf("a variable that is none: %v", err)
	}
	// serve leaves them alone.
	if _, _, err := loadConfig(writeConfig(t, "kafka: {brokers: ['a:1']}\n"), nil); err != nil {
		t.Error(err)
	}
}
