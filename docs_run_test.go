// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus/internal/bustest"
)

// A page that is run is read from top to bottom in one empty folder:
//
//   - a ```bash block is run. "autobus dev ..." starts the bus of the page, on free ports, "autobus serve ..." one in
//     front of other brokers; both go on until the end of the page, and their addresses replace the usual ones;
//   - a ```json block behind it is what it must print: values as they stand, "..." for any, "abc..." for a beginning,
//     the field "..." for more fields, a last element "..." for more elements;
//   - a ```session block is played over a WebSocket: > is sent, < must come; "<name>" holds any string from then on;
//   - other blocks are written into the file that <!-- file: NAME --> on the line above names;
//   - <!-- background --> on the line above a bash block: it goes on beside what follows, until the end of the page;
//   - <!-- fails --> says that the block must end with a status other than 0;
//   - Go programs import this repository, whatever their go.mod says;
//   - <!-- not run: WHY --> leaves a block alone, <!-- needs: PROGRAM --> where there is no such program.
type page struct {
	t      *testing.T
	file   string
	dir    string
	env    []string
	places *strings.Replacer // nil = there is no bus yet
	bus    string            // its address, host:port
	held   map[string]string // what "<name>" stands for
	output []byte            // of the last bash block; nil = compared already
}

// commandTime is how long one block may take.
const commandTime = 90 * time.Second

// block finds a fenced block with the note above it: note, what about, language, text.
var block = regexp.MustCompile("(?ms)^(?:<!-- (file|background|fails|needs|not run)(?:: ([^\n]*))? -->\n)?" +
	"```([a-z]+)\n(.*?)^```$")

// newPage readies a page to be run with the program autobus of the folder bin. The spec of the how-to is in its folder.
func newPage(t *testing.T, file, bin string) *page {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "jq", "python3"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("the pages need %s", tool)
		}
		t.Skipf("the pages need %s", tool)
	}
	p := &page{t: t, file: file, dir: t.TempDir(), held: map[string]string{}}
	p.env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "NO_COLOR=1",
		"PYTHONUNBUFFERED=1", "GOWORK="+p.workspace())
	spec, ok := fenced(read(t, "docs/howto/specs.md"), "yaml")
	if !ok {
		t.Fatal("docs/howto/specs.md has no YAML block")
	}
	p.write("specs/orders/order.placed.v1.yaml", spec+"\n")
	return p
}

// workspace lets Go programs of the page use this very repository, as if it had been got by its name.
func (p *page) workspace() string {
	p.t.Helper()
	here, err := os.Getwd()
	if err != nil {
		p.t.Fatal(err)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(runtime.Version(), "go"), " ")
	file := filepath.Join(p.t.TempDir(), "go.work")
	text := fmt.Sprintf("go %s\n\nuse (\n\t%s\n\t%s\n)\n", version, here, p.dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return file
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// run runs the page from top to bottom.
func (p *page) run() {
	p.t.Helper()
	for _, m := range block.FindAllStringSubmatch(read(p.t, p.file), -1) {
		p.block(m[1], m[2], m[3], m[4])
		if p.t.Failed() {
			return // what follows builds on it
		}
	}
}

func (p *page) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *page) block(note, about, lang, body string) {
	p.t.Helper()
	if _, err := exec.LookPath(about); note == "needs" && err != nil {
		return
	}
	switch {
	case note == "not run":
	case note == "file":
		p.write(about, p.here(body))
	case lang == "bash" && strings.HasPrefix(body, "autobus dev"):
		p.dev(strings.Fields(body)[1:])
	case lang == "bash" && strings.HasPrefix(body, "autobus serve"):
		p.launch("bash", "-c", p.here(body))
		bustest.Eventually(p.t, "the instance is ready", func(ctx context.Context) bool {
			return exec.CommandContext(ctx, "curl", "-sf", "http://"+p.bus+"/readyz").Run() == nil
		})
	case lang == "bash" && note == "background":
		p.launch("bash", "-c", p.here(body))
	case lang == "bash" && note == "fails":
		p.bash("! {\n" + body + "}")
	case lang == "bash":
		p.bash(body)
	case lang == "session":
		p.session(body)
	case lang == "json" && p.output != nil:
		p.compare(body)
		p.output = nil
	}
}

// here puts the addresses of the page's bus in the places of the usual ones.
func (p *page) here(text string) string {
	if p.places == nil {
		return text
	}
	return p.places.Replace(text)
}

func (p *page) bash(script string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", p.here(script))
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = p.dir, p.env, &stdout, &stderr, time.Second
	if err := cmd.Run(); err != nil {
		p.t.Errorf("%s: %v\n%s\nstdout: %s\nstderr: %s", p.file, err, script, &stdout, &stderr)
	}
	p.output = append([]byte{}, stdout.Bytes()...)
}

// launch starts what goes on until the end of the page, and gives its output.
func (p *page) launch(args ...string) io.Reader {
	p.t.Helper()
	cmd := exec.Command("env", args...) // env looks in the page's own PATH
	cmd.Dir, cmd.Env = p.dir, p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all that it starts
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, p.t.Output()
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		_ = r.Close()
	})
	return r
}

// dev starts the bus of the page and waits until it is ready.
func (p *page) dev(args []string) {
	p.t.Helper()
	args = append(args, "--ephemeral", "--no-demo", "--port", "0", "--kafka-port", "0", "-o", "json")
	out := p.launch(append([]string{"autobus"}, args...)...)
	var banner struct{ API, Kafka string }
	if err := json.NewDecoder(out).Decode(&banner); err != nil {
		p.t.Fatalf("%s: autobus %v: %v", p.file, args, err)
	}
	p.standIn(strings.TrimPrefix(banner.API, "http://"), "localhost:9092", banner.Kafka)
}

// standIn puts the address of the page's bus, and other texts by pairs, in the places of what the page says.
func (p *page) standIn(bus string, pairs ...string) {
	p.bus = bus
	p.places = strings.NewReplacer(append(pairs, "localhost:7070", bus, "127.0.0.1:7070", bus)...)
	p.env = append(p.env, "AUTOBUS_SERVER=http://"+bus)
}

// compare holds what was printed against what the page says.
func (p *page) compare(says string) {
	p.t.Helper()
	want, err := documents([]byte(says))
	if err != nil {
		p.t.Errorf("%s: the page's JSON: %v\n%s", p.file, err, says)
	}
	got, err := documents(p.output)
	if err != nil {
		p.t.Errorf("%s: what was printed is no JSON: %v\n%s", p.file, err, p.output)
	}
	if !p.like(want, got) {
		p.t.Errorf("%s says\n%s\nand this came:\n%s", p.file, says, p.output)
	}
}

// session plays a conversation. A line that begins with spaces goes on with the one before.
func (p *page) session(body string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), commandTime)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, "ws://"+p.bus+"/v1/ws", &websocket.DialOptions{
		Subprotocols: []string{"autobus.v1"}})
	if err != nil {
		p.t.Fatal(err)
	}
	defer socket.CloseNow()
	for line := range strings.SplitSeq(strings.ReplaceAll(body, "\n   ", " "), "\n") {
		if frame, ok := strings.CutPrefix(line, "> "); ok {
			for name, text := range p.held {
				frame = strings.ReplaceAll(frame, name, text)
			}
			if err := socket.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
				p.t.Fatalf("%s: %s: %v", p.file, line, err)
			}
		} else if says, ok := strings.CutPrefix(line, "< "); ok {
			if _, p.output, err = socket.Read(ctx); err != nil {
				p.t.Fatalf("%s: %s: %v", p.file, line, err)
			}
			p.compare(says)
		}
	}
	p.output = nil
}

// documents reads one JSON document after the other.
func documents(text []byte) (all []any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		all = append(all, v)
	}
}

const anything = "..."

// like reports whether got is what a page says, which may leave things open.
func (p *page) like(says, got any) bool {
	switch says := says.(type) {
	case string:
		text, ok := got.(string)
		begin, open := strings.CutSuffix(says, anything)
		if held, known := p.held[says]; ok && strings.HasPrefix(says, "<") {
			p.held[says] = text
			return !known || held == text
		}
		return says == anything || ok && (text == says || open && strings.HasPrefix(text, begin))
	case []any:
		list, ok := got.([]any)
		if n := len(says) - 1; ok && n >= 0 && says[n] == anything && len(list) >= n {
			says, list = says[:n], list[:n]
		}
		if !ok || len(says) != len(list) {
			return false
		}
		for i := range says {
			if !p.like(says[i], list[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		fields, ok := got.(map[string]any)
		_, open := says[anything]
		for name, v := range says {
			if have, has := fields[name]; name != anything && (!has || !p.like(v, have)) {
				return false
			}
		}
		return ok && (open || len(says) == len(fields))
	}
	return says == got
}
