// SPDX-License-Identifier: Apache-2.0

// Package clients holds the bus against programs of other projects that its users have: the serializers of Confluent's
// client for Python against the schema registry of a running `autobus dev`, and AsyncAPI's own parser against the specs
// that this repository has and makes.
//
// The programs are brought by make test; without them the tests are skipped.
package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// brought is where make test put a program.
func brought(t *testing.T, variable string) string {
	t.Helper()
	where := os.Getenv(variable)
	if where == "" {
		t.Skip("make test brings what this needs, and sets " + variable)
	}
	return where
}

// build makes the program under test.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "autobus")
	run(t, "", "go", "build", "-o", bin, "../../cmd/autobus")
	return bin
}

// patience is how long a program of another project may take, on a busy machine.
const patience = 5 * time.Minute

// run runs a program to its end and gives what it printed.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	out, err := try(t, dir, name, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
	return out
}

func try(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// dev starts autobus dev with specs and tells where it answers.
func dev(t *testing.T, bin, specs string) (api, kafka string) {
	t.Helper()
	cmd := exec.Command(bin, "dev", "--ephemeral", "--no-demo", "--port", "0", "--kafka-port", "0", "--specs", specs,
		"-o", "json")
	var stderr bytes.Buffer
	cmd.Stderr, cmd.Dir = &stderr, t.TempDir()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("autobus dev: %v\n%s", err, &stderr)
		}
	})
	banner := struct{ API, Kafka string }{}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("autobus dev said nothing: %s", &stderr)
	}
	if err := json.Unmarshal(lines.Bytes(), &banner); err != nil {
		t.Fatalf("%q: %v", lines.Text(), err)
	}
	return banner.API, banner.Kafka
}

func TestConfluentSerializers(t *testing.T) {
	python := brought(t, "AUTOBUS_TEST_PYTHON")
	specs, err := filepath.Abs("python/specs")
	if err != nil {
		t.Fatal(err)
	}
	api, kafka := dev(t, build(t), specs)
	if out := run(t, "", python, "python/registry.py", api, kafka); !strings.HasSuffix(out, "ok\n") {
		t.Error(out)
	}
}

// documents counts the AsyncAPI documents of a folder.
func documents(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("asyncapi: 3")) {
			n++
		}
		return err
	})
	if err != nil || n == 0 {
		t.Fatalf("%d documents in %s, %v", n, dir, err)
	}
	return n
}

func TestAsyncAPIParser(t *testing.T) {
	node := brought(t, "AUTOBUS_TEST_ASYNCAPI")
	check, err := filepath.Abs("asyncapi/check.mjs")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../../examples/lamoda-specs")
	if err != nil {
		t.Fatal(err)
	}
	// The repository that spec init and spec new make: one type of each kind.
	bin, made := build(t), t.TempDir()
	run(t, made, bin, "spec", "init", ".")
	run(t, made, bin, "spec", "new", "orders.order.placed.v1", "--owner", "team-platform")
	run(t, made, bin, "spec", "new", "orders.order.cancel.v1", "--owner", "team-platform", "--kind", "command")
	want := fmt.Sprintf("ok %d\n", documents(t, examples)+documents(t, made))
	if out := run(t, node, "node", check, examples, made); out != want {
		t.Errorf("the parser says %q, want %q", out, want)
	}

	broken := t.TempDir()
	const typed = "asyncapi: 3.1.0\ninfo: {title: 1, version: 1.0.0}\nchannels: {a: {$ref: '#/channels/b'}}\n"
	if err := os.WriteFile(filepath.Join(broken, "broken.yaml"), []byte(typed), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := try(t, node, "node", check, broken); err == nil || !strings.Contains(out, "broken.yaml: ") {
		t.Errorf("the check takes anything: %v\n%s", err, out)
	}
}
