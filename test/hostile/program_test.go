// SPDX-License-Identifier: Apache-2.0

// Package hostile sends the bus what no honest client would: connections that never finish, bombs, floods, frames and
// leases that are none. Each attack drives a real `autobus serve` while honest clients publish and consume, and asks
// the same of it: every attempt ends in an error of the client's (4xx) or a closed connection, the process stays within
// 200 MiB of what it had, the honest clients get every answer and every event, and afterwards nothing is left of the
// attack, neither goroutines nor descriptors.
//
// How slow the attack makes the honest clients is measured and logged. It is judged by `make hostile` alone, which
// wants a machine that does nothing else.
package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/internal/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a running autobus.
type program struct {
	pid            int
	stdout, stderr bustest.Output
	ended          chan struct{}
	err            error // of Wait
}

// run starts the program, and stops it with the test: in order, it has to be able to.
func run(t *testing.T, bin string, args ...string) *program {
	t.Helper()
	p := &program{ended: make(chan struct{})}
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &p.stdout, &p.stderr, t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-p.ended
		if p.err != nil {
			t.Errorf("autobus %s ended with %v\n%s", args[0], p.err, &p.stderr)
		}
	})
	return p
}

// await waits for what finds something in the program's output.
func (p *program) await(t *testing.T, out *bustest.Output, what *regexp.Regexp) []string {
	t.Helper()
	var found []string
	bustest.Eventually(t, "autobus to be ready", func(context.Context) bool {
		select {
		case <-p.ended:
			t.Fatalf("autobus ended: %v\n%s", p.err, &p.stderr)
		default:
		}
		found = what.FindStringSubmatch(out.String())
		return found != nil
	})
	return found
}

var (
	kafkaAddress = regexp.MustCompile(`"kafka":"([^"]+)"`)
	listening    = regexp.MustCompile(`"msg":"ready".*"listen":"([^"]+)"`)
)

// typ is the type of the honest clients, and of most attacks.
const (
	typ       = "hostile.thing.sent.v1"
	otherType = "hostile.burst.sent.v1"
)

const specText = `asyncapi: 3.1.0
info: {title: hostile.%[1]s.sent, version: 1.0.0}
channels:
  sent:
    address: hostile.%[1]s.sent.v1
    messages: {sent: {$ref: '#/components/messages/sent'}}
    bindings: {kafka: {partitions: 4, bindingVersion: 0.5.0}}
    x-durability: best-effort
components:
  messages:
    sent:
      bindings: {kafka: {key: {type: string, x-from: /key}, bindingVersion: 0.5.0}}
      payload: {type: object, required: [key], properties: {key: {type: string}, at: {type: integer}}}
`

// config is that of the program under attack. Who attacks as mallory has no quota, who does as limited a small one.
const config = `listen: 127.0.0.1:0
specs: %s
kafka: {name: dev, brokers: ['%s']}
limits: {buffer: 32MiB}
quotas: {principals: [{principal: limited, events: 100, connections: 10}]}
log: {level: info, format: json}
`

// site is what every program under attack stands on: a broker, a configuration and tokens.
type site struct {
	bin, config string
	kafka       string            // address of the broker
	token       map[string]string // by principal
}

// target is the program under attack.
type target struct {
	*program
	*site
	addr string // host:port
	url  string // http://host:port
}

// prepare builds the program; the broker is that of a dev.
func prepare(t *testing.T) *site {
	t.Helper()
	bin, dir := filepath.Join(t.TempDir(), "autobus"), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/autobus")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	broker := run(t, bin, "dev", "--ephemeral", "--port", "0", "--kafka-port", "0", "--no-demo", "-o", "ndjson")
	kafka := broker.await(t, &broker.stdout, kafkaAddress)[1]

	specs, file := filepath.Join(dir, "specs", "hostile"), filepath.Join(dir, "autobus.yaml")
	if err := os.MkdirAll(specs, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(specs, "thing.sent.v1.yaml"): fmt.Sprintf(specText, "thing"),
		filepath.Join(specs, "burst.sent.v1.yaml"): fmt.Sprintf(specText, "burst"),
		file: fmt.Sprintf(config, filepath.Dir(specs), kafka),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{bin: bin, config: file, kafka: kafka, token: map[string]string{}}
	for _, who := range []string{"good", "mallory", "limited"} {
		cmd := exec.CommandContext(t.Context(), bin, "token", "create", "--config", file, "--principal", who, "-q", "--grant",
			"publish:*", "--grant", "subscribe:*", "--grant", "manage:*")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("token create: %v", err)
		}
		s.token[who] = strings.TrimSpace(string(out))
	}
	return s
}

// start starts the program that is to be attacked. Each attack has one of its own: the memory of an attack goes back to
// the system slowly, and would be taken for that of the next one.
func (s *site) start(t *testing.T) *target {
	t.Helper()
	p := run(t, s.bin, "serve", "--config", s.config)
	addr := p.await(t, &p.stderr, listening)[1]
	return &target{program: p, site: s, addr: addr, url: "http://" + addr}
}

// answer is what came back to a request.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	problem struct {
		Reason  string `json:"reason"`
		Results []struct {
			Status string `json:"status"`
			Error  struct {
				Reason string `json:"reason"`
			} `json:"error"`
		} `json:"results"`
	}
}

// ask sends a request as somebody. The error is one of the connection.
func (s *target) ask(
	ctx context.Context, c *http.Client, who, method, path, media string, body io.Reader,
) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token[who])
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := c.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if a.body, err = io.ReadAll(resp.Body); err == nil {
		_ = json.Unmarshal(a.body, &a.problem) // lines and bodies of other forms have no problem
	}
	return a, err
}

// reason is why a request, or the first event of it, was refused.
func (a *answer) reason() string {
	if a.problem.Reason == "" && len(a.problem.Results) > 0 {
		return a.problem.Results[0].Error.Reason
	}
	return a.problem.Reason
}

// said is status and reason.
func (a *answer) said() string { return fmt.Sprintf("%d %s", a.status, a.reason()) }
