// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "autobus.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// configOf gives the configuration and its faults, but for those of the files it names.
func configOf(file string, flags flagValues) (*config, error) {
	c, p, err := loadConfig(file, flags)
	if err != nil {
		return nil, err
	}
	return c, p.err()
}

func TestConfigReadsEveryKey(t *testing.T) {
	dir := t.TempDir()
	file := writeConfig(t, `
listen: 127.0.0.1:8080
insecure: true
specs: `+dir+`
instance: a
advertise: a.example:8080
kafka:
  name: east
  brokers: [k1:9092, k2:9092]
  tls: {enabled: true}
  sasl: {mechanism: scram-sha-512, user: bus, password_file: /run/secret}
limits: {buffer: 64MiB, drain: 5s}
quotas:
  default: {events: 1000, bytes: 10MiB, connections: 100}
  principals:
  - {principal: batch.*, events: 20000, bytes: 1GiB, connections: 5, burst: 10s}
  - principal: ops
log: {level: debug, format: json}
`)
	c, err := configOf(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		Listen: "127.0.0.1:8080", Insecure: true, Specs: dir, Instance: "a", Advertise: "a.example:8080",
		Kafka: kafkaConfig{Name: "east", Brokers: []string{"k1:9092", "k2:9092"}, TLS: kafkaTLSConfig{Enabled: true},
			SASL: saslConfig{Mechanism: "scram-sha-512", User: "bus", PasswordFile: "/run/secret"}},
		Limits: limitsConfig{Buffer: 64 << 20, Drain: 5 * time.Second},
		Quotas: quotasConfig{Default: quotaConfig{Events: 1000, Bytes: 10 << 20, Connections: 100},
			Principals: []principalQuota{{Principal: "batch.*", Events: 20_000, Bytes: 1 << 30, Connections: 5,
				Burst: 10 * time.Second}, {Principal: "ops"}}},
		Log: logConfig{Level: "debug", Format: "json"},
	}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got  %+v\nwant %+v", *c, want)
	}
}

func TestConfigNeedsNoMoreThanBrokers(t *testing.T) {
	c, err := configOf(writeConfig(t, "kafka: {brokers: [k1:9092]}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Kafka.Brokers = []string{"k1:9092"}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got  %+v\nwant %+v", *c, want)
	}
}

// Every fault stands in one answer, with its place.
func TestConfigFaults(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"unknown keys get a guess", "kafka:\n  broker: [a:1]\nlissten: x\nzzzzzz: 1\n", []string{
			":2:3: there is no key kafka.broker", "did you mean kafka.brokers?",
			":3:1: there is no key lissten", "did you mean listen?", ":4:1: there is no key zzzzzz", "the keys here are"}},
		{"wrong kinds", "listen: [a]\ninsecure: yes\nkafka: 7\nlimits: {buffer: big, drain: soon}\n", []string{
			":1:9: listen must be a text", `:2:11: insecure is "yes", must be true or false`,
			":3:8: kafka must be keys with values", `:4:18: limits.buffer is "big", must be a size`,
			`:4:30: limits.drain is "soon", must be a duration`}},
		{"all kinds of faults at once", "lisen: a\nspecs: /nowhere\n" +
			"kafka: {brokers: [k1], sasl: {user: [me], mechanism: gssapi}}\n" +
			"limits: {buffer: big, drain: -1s}\nlog: {level: loud}\ntls: {cert_file: c}\n", []string{"10 faults",
			":1:1: there is no key lisen", ":2:8: specs: /nowhere is not a folder", `:3:19: kafka.brokers[0]: "k1" is not`,
			":3:37: kafka.sasl.user must be a text", `:3:54: kafka.sasl.mechanism: "gssapi" is not one of`,
			":3:24: kafka.sasl.password_file: the mechanism gssapi needs", "limits.buffer is", "limits.drain: -1s is",
			`log.level: "loud"`, "tls.cert_file: tls.cert_file is set"}},
		{"a list that is none", "kafka: {brokers: k1:9092}\n", []string{":1:18: kafka.brokers is", "must be a list"}},
		{"a key twice", "listen: localhost:1\nlisten: localhost:2\n", []string{":2:1: listen is set twice, first on line 1"}},
		{"two documents", "listen: localhost:1\n---\nlisten: localhost:1\n", []string{"a second document"}},
		{"no YAML", "kafka: {brokers\n", []string{"this is not YAML"}},
		{"values that cannot be", "kafka: {brokers: [k1]}\nlog: {level: loud}\nspecs: /nowhere\n" +
			"limits: {buffer: 5, drain: -1s}\n", []string{
			`:1:19: kafka.brokers[0]: "k1" is not host:port`,
			`log.level: "loud" is not one of`, "specs: /nowhere is not a folder", "limits.buffer: 5 is less",
			"limits.drain: -1s is negative"}},
		{"nothing at all", "", []string{"kafka.brokers: no broker is named"}},
		{"beyond loopback without TLS", "kafka: {brokers: [k:1]}\nlisten: 0.0.0.0:7070\n", []string{
			":2:9: listen: 0.0.0.0:7070 is reachable beyond this machine", "insecure: true"}},
		{"every interface without TLS", "kafka: {brokers: [k:1]}\nlisten: :7070\n", []string{
			"reachable beyond this machine"}},
		{"half a certificate", "kafka: {brokers: [k:1], tls: {key_file: k}}\ntls: {cert_file: a}\n", []string{
			"tls.cert_file: tls.cert_file is set, tls.key_file is not",
			"kafka.tls.key_file: kafka.tls.key_file is set, kafka.tls.cert_file is not"}},
		{"half of SASL", "kafka: {brokers: [k:1], sasl: {mechanism: gssapi}}\n", []string{
			`"gssapi" is not one of plain`, "needs a user", "needs a password"}},
		{"quotas that cannot be", "kafka: {brokers: [k:1]}\nquotas:\n  default: {events: -1, byte: 1, burst: 5s}\n" +
			"  principals:\n  - {principal: a.*, connections: many}\n  - {principal: a.b, burst: 1s}\n" +
			"  - {principal: batch*, bytes: 1, burst: 2h}\n  - {events: 1}\n" +
			"  - {principal: Checkout, events: 1}\n", []string{"9 faults",
			`:3:21: quotas.default.events is "-1", must be a whole number`, "did you mean quotas.default.bytes?",
			`:5:35: quotas.principals[0].connections is "many", must be a whole number`,
			":6:17: quotas.principals[1].principal: a.b is never asked for, because a.* comes first",
			":6:29: quotas.principals[1].burst: there is no rate", `:7:17: quotas.principals[2].principal: "batch*" is`,
			":7:42: quotas.principals[2].burst: 2h0m0s is not from 0s to 1h0m0s",
			`:8:5: quotas.principals[3].principal: "" is neither`, `:9:17: quotas.principals[4].principal: "Checkout" is`}},
		{"quotas that are no list", "kafka: {brokers: [k:1]}\nquotas: {principals: {shop: 1}}\n", []string{
			":2:22: quotas.principals must be a list", "[{principal: checkout"}},
		{"SASL without mechanism", "kafka: {brokers: [k:1], sasl: {user: me}}\n", []string{"without a mechanism"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := configOf(writeConfig(t, c.text), nil)
			if err == nil {
				t.Fatal("no fault found")
			}
			var e *autobus.Error
			if !errors.As(err, &e) || e.Reason != autobus.ReasonConfigInvalid {
				t.Errorf("reason of %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in\n%s", want, err)
				}
			}
		})
	}
}

func TestConfigOrderOfSources(t *testing.T) {
	file := writeConfig(t, "kafka: {brokers: [file:1], name: file}\ninstance: file\n")
	t.Setenv("AUTOBUS_KAFKA_BROKERS", "env1:1, env2:2")
	t.Setenv("AUTOBUS_INSTANCE", "env")
	t.Setenv("AUTOBUS_SERVICE_HOST", "10.0.0.1") // not ours: an orchestrator's
	c, err := configOf(file, flagValues{"instance": "flag"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Kafka.Brokers, " "); got != "env1:1 env2:2" {
		t.Errorf("brokers %q, want those of the environment", got)
	}
	if c.Instance != "flag" || c.Kafka.Name != "file" {
		t.Errorf("instance %q, name %q", c.Instance, c.Kafka.Name)
	}
}

// A value that is wrong already has no second fault, and none that only follows from it.
func TestConfigFaultsAreToldOnce(t *testing.T) {
	for text, want := range map[string]string{
		"kafka: {broker: [a:1]}\n": "1 fault\n",
		"kafka: {brokers: k}\n":    "1 fault\n",
		"kafka: 7\nlog: [a]\n":     "2 faults\n",
		"a list\n":                 "1 fault\n",
		"kafka: {brokers: [a:1]}\nlisten: :1\ninsecure: yes\n":                      "1 fault\n",
		"kafka: {brokers: [a:1]}\ntls: {cert_file: [c], key_file: k}\n":             "1 fault\n",
		"kafka: {brokers: [a:1], sasl: {mechanism: [plain], user: me}}\n":           "1 fault\n",
		"kafka: {brokers: [a:1], broker: [b]}\nlog: {lvel: x, level: loud}\n":       "3 faults\n",
		"kafka: {brokers: [a:1]}\nlog: {level: loud}\nlimits: {drain: -1s}\nx: 1\n": "3 faults\n",
	} {
		_, err := configOf(writeConfig(t, text), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%swant %s, got %v", text, want, err)
		}
	}
}

func TestConfigUnknownVariables(t *testing.T) {
	file := writeConfig(t, "kafka: {brokers: [k:1]}\nlog: {level: loud}\n")
	for _, name := range []string{"AUTOBUS_LISTN", "AUTOBUS_KAFKA_BROKER", "AUTOBUS_ZZZZZZ"} {
		t.Setenv(name, "x")
	}
	// Not the configuration's: the commands', the tests', and those of an orchestrator with a service autobus.
	for name, text := range map[string]string{"AUTOBUS_SERVER": "s", "AUTOBUS_TOKEN": "t", "AUTOBUS_TOKEN_FILE": "f",
		"AUTOBUS_CONFIG": "c", "AUTOBUS_TEST_KAFKA": "k", "AUTOBUS_SERVICE_HOST": "10.0.0.1",
		"AUTOBUS_SERVICE_PORT": "7070", "AUTOBUS_SERVICE_PORT_HTTP": "7070", "AUTOBUS_PORT": "tcp://10.0.0.1:7070",
		"AUTOBUS_PORT_7070_TCP": "tcp://10.0.0.1:7070", "AUTOBUS_PORT_7070_TCP_ADDR": "10.0.0.1", "AUTOBUS_EMPTY": ""} {
		t.Setenv(name, text)
	}
	_, err := configOf(file, nil)
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{"4 faults", "AUTOBUS_LISTN: there is no such variable", "did you mean AUTOBUS_LISTEN?",
		"did you mean AUTOBUS_KAFKA_BROKERS?", "log.level:",
		"AUTOBUS_ZZZZZZ: there is no such variable\n    next: remove it"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%s", want, err)
		}
	}
}

func TestConfigFaultsNameTheirSource(t *testing.T) {
	t.Setenv("AUTOBUS_INSECURE", "perhaps")
	_, err := configOf(writeConfig(t, "kafka: {brokers: [k:1]}\n"), flagValues{"log.level": "loud"})
	if err == nil || !strings.Contains(err.Error(), "AUTOBUS_INSECURE: insecure:") {
		t.Errorf("got %v", err)
	}
	t.Setenv("AUTOBUS_INSECURE", "true")
	_, err = configOf(writeConfig(t, "kafka: {brokers: [k:1]}\n"), flagValues{"log.level": "loud"})
	if err == nil || !strings.Contains(err.Error(), "--log-level: log.level:") {
		t.Errorf("got %v", err)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]size{"0": 0, "4096": 4096, "1KiB": 1024, "256MiB": 256 << 20, "2 GiB": 2 << 30,
		"1MB": 1e6, "7B": 7} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "99999999999GiB", "1 parsec"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
	for want, s := range map[string]size{"0": 0, "256MiB": 256 << 20, "1GiB": 1 << 30, "1MB": 1e6, "7": 7} {
		if got := s.String(); got != want {
			t.Errorf("%d is written %q, want %q", int64(s), got, want)
		}
	}
}
