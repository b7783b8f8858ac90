// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/spec"
)

// The how-to on specs says what its example accepts and what it refuses, and where. It is held to its word.
func TestTheExampleOfTheSpecsHowto(t *testing.T) {
	raw, err := os.ReadFile("docs/howto/specs.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	file, ok := fenced(text, "yaml")
	if !ok {
		t.Fatal("docs/howto/specs.md has no YAML block")
	}
	snapshot, err := spec.Parse(spec.Files{"orders/order.placed.v1.yaml": []byte(file)})
	if err != nil {
		t.Fatalf("the example spec: %v", err)
	}
	typ, ok := snapshot.Type("orders.order.placed.v1")
	if !ok {
		t.Fatal("the example spec does not declare orders.order.placed.v1")
	}
	published := regexp.MustCompile(`(?m)^autobus publish (\S+) -d '(.*)'$`).FindAllStringSubmatch(text, -1)
	if len(published) != 2 || published[0][1] != typ.Name || published[1][1] != typ.Name {
		t.Fatalf("the how-to publishes %q", published)
	}
	if err := typ.Check([]byte(published[0][2])); err != nil {
		t.Errorf("what the how-to says is good: %v", err)
	}
	refused := typ.Check([]byte(published[1][2]))
	if refused == nil || refused.Reason != autobus.ReasonDataInvalid {
		t.Fatalf("what the how-to says is refused: %v", refused)
	}
	rules := map[string]string{}
	for _, f := range refused.Faults {
		rules[f.Pointer] = f.Rule
	}
	if len(rules) != 2 || rules["/total"] != "type" || rules["/colour"] != "undeclared" {
		t.Errorf("the faults are %v", refused.Faults)
	}
}

// TestPages runs the pages as their reader would, and holds what is printed against what they say.
func TestPages(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "autobus"), "./cmd/autobus")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build autobus: %v\n%s", err, out)
	}
	for _, file := range []string{"docs/howto/specs.md", "docs/howto/consume.md", "docs/howto/dead-letters.md",
		"docs/howto/measure.md", "docs/howto/go-service.md", "docs/howto/publish-in-go.md",
		"docs/howto/handle-events-in-go.md", "docs/howto/ask-another-service.md",
		"docs/howto/http-endpoint.md", "docs/howto/push.md",
		"docs/tutorial/first-service-in-go.md",
		"docs/reference/http.md", "docs/reference/websocket.md", "docs/reference/schema-registry.md"} {
		t.Run(filepath.Base(file), func(t *testing.T) { newPage(t, file, bin).run() })
	}
	t.Run("outbox.md", func(t *testing.T) {
		server := bustest.Postgres(t)
		server.Psql(t, "postgres", "CREATE DATABASE shop")
		p := newPage(t, "docs/howto/outbox.md", bin)
		p.env = append(p.env, server.Env()...)
		p.run()
	})
	t.Run("sinks.md", func(t *testing.T) {
		server := bustest.Postgres(t)
		server.Psql(t, "postgres", "CREATE DATABASE report")
		p := newPage(t, "docs/howto/sinks.md", bin)
		p.env = append(p.env, server.Env()...)
		p.places = strings.NewReplacer("postgres://report:${REPORT_PASSWORD}@db.example/report", server.DSN("report"))
		placed := read(t, filepath.Join(p.dir, "specs/orders/order.placed.v1.yaml"))
		for _, name := range []string{"completed", "cancelled"} {
			s := strings.NewReplacer("placed", name, "[order_id, total]", "[order_id]", ", total: 10.5", "").Replace(placed)
			p.write("specs/orders/order."+name+".v1.yaml", s)
		}
		p.write("specs/orders/order.placed.v1.yaml", strings.Replace(placed, "          total:", `          items:
            type: array
            items: {type: object, properties: {sku: {type: string}, quantity: {type: integer}}}
          total:`, 1))
		p.run()
	})
	t.Run("serve.md", func(t *testing.T) {
		p := newPage(t, "docs/howto/serve.md", bin)
		// The cluster of a test run has a control log, of another name, and topics of other suites.
		p.standIn(freeAddr(t), "kafka-1:9092, kafka-2:9092, kafka-3:9092", strings.Join(bustest.Cluster(t).Brokers, ", "),
			"  name: main\n", "", "cluster init", "cluster init --yes --adopt",
			"cluster check --config autobus.yaml", "cluster check --config autobus.yaml || [ $? = 3 ]")
		p.run()
	})
}

// freeAddr is an address on which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
