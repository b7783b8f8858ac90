// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// watch follows a folder as dev does, until the test ends.
func watch(t *testing.T, r instance, dir string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	f := r.Folder(FolderConfig{Dir: dir, Actor: "autobus"})
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// until asks again and again; nothing tells when a poll has looked.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func lay(t *testing.T, dir string, files spec.Files) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFolderIsFollowed(t *testing.T) {
	r := start(t, broker(t))
	dir := t.TempDir()
	lay(t, dir, bundleOf("order"))
	watch(t, r, dir)
	until(t, "first bundle", func() bool { return names(r.Snapshot()) == "orders.order.placed.v1@1.0.0" })

	lay(t, dir, bundleOf("book"))
	until(t, "second type", func() bool { return r.Snapshot().Len() == 2 })

	if err := os.Remove(filepath.Join(dir, "events/orders/book.placed.v1.yaml")); err != nil {
		t.Fatal(err)
	}
	until(t, "type taken away", func() bool { return r.Snapshot().Len() == 1 })
	if len(r.Problems()) != 0 {
		t.Errorf("problems %v", r.Problems())
	}
}

func TestFolderKeepsWhatWasGood(t *testing.T) {
	r := start(t, broker(t))
	dir := t.TempDir()
	lay(t, dir, bundleOf("order"))
	watch(t, r, dir)
	until(t, "first bundle", func() bool { return r.Snapshot().Len() == 1 })
	good := r.Snapshot()

	lay(t, dir, spec.Files{"events/orders/book.placed.v1.yaml": []byte("asyncapi: [")})
	until(t, "the fault is reported", func() bool { return len(r.Problems()) > 0 })
	if p := r.Problems()[0]; p.File != "events/orders/book.placed.v1.yaml" || p.Line == 0 {
		t.Errorf("problem %+v", p)
	}
	if r.Snapshot() != good {
		t.Error("a bad file replaced a good snapshot")
	}
	lay(t, dir, spec.Files{"events/orders/book.placed.v1.yaml": specFile("book", "1.0.0", "bindingVersion: 0.5.0")})
	until(t, "mended", func() bool { return r.Snapshot().Len() == 2 && len(r.Problems()) == 0 })
}

// Each trouble is told to the log once, however often it is seen, and forgotten when it is over.
func TestFolderTellsOnce(t *testing.T) {
	r := start(t, broker(t))
	dir := filepath.Join(t.TempDir(), "specs")
	f := r.Folder(FolderConfig{Dir: dir, Actor: "autobus"})
	see := func(what string, types, problems, warnings int) {
		t.Helper()
		for range 3 {
			f.look(t.Context())
		}
		if r.Snapshot().Len() != types || len(r.Problems()) != problems || r.logged.count("level=WARN") != warnings {
			t.Fatalf("%s: in force %s, problems %v, %d warnings; want %d, %d, %d", what, names(r.Snapshot()), r.Problems(),
				r.logged.count("level=WARN"), types, problems, warnings)
		}
	}
	see("not there yet", 0, 1, 2)
	lay(t, dir, bundleOf("order"))
	see("there", 1, 0, 3)
	lay(t, dir, spec.Files{"book.yaml": []byte("asyncapi: [")})
	see("a bad file", 1, 1, 5)
	lay(t, dir, spec.Files{"book.yaml": []byte("asyncapi: [ ")})
	see("another bad file", 1, 1, 7)
	if err := os.Remove(filepath.Join(dir, "book.yaml")); err != nil {
		t.Fatal(err)
	}
	see("mended", 1, 0, 8)
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	see("gone", 1, 1, 10)
	if p := r.Problems()[0]; p.String() != "the folder "+dir+" cannot be read: no such file or directory" ||
		!strings.HasPrefix(p.Hint, "Put it back") {
		t.Errorf("problem %+v", p)
	}
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	see("back as it was", 1, 0, 11)
	if n := r.logged.count("specs are in force again"); n != 3 {
		t.Errorf("told %d times that it is over, want 3", n)
	}
}

// What is wrong can be read in the log: a line for each fault, with its place and its hint, and one that says what is
// in force now.
func TestFolderTellsEachFault(t *testing.T) {
	r := start(t, broker(t))
	dir := t.TempDir()
	lay(t, dir, bundleOf("order"))
	f := r.Folder(FolderConfig{Dir: dir, Actor: "autobus"})
	if err := f.Load(t.Context()); err != nil || r.logged.count("level=WARN") != 0 {
		t.Fatalf("%v, log:\n%s", err, r.logged)
	}
	lay(t, dir, spec.Files{"a.yaml": []byte("\tx: 1"), "b.yaml": []byte("asyncapi: [")})
	f.look(t.Context())
	f.look(t.Context())
	for _, want := range []string{
		`level=WARN msg="specs cannot be used" fault="a.yaml:1:1: a tab in the indentation" hint="Indent with spaces."`,
		`level=WARN msg="specs cannot be used" fault="b.yaml:1: `,
		`level=WARN msg="the folder's specs are not in force; the ones before stay in force" dir=` + dir + ` faults=2`,
	} {
		if r.logged.count(want) != 1 {
			t.Errorf("not told once: %s; log:\n%s", want, r.logged)
		}
	}
	if r.logged.count(`\n`) != 0 {
		t.Errorf("a line with line breaks in it:\n%s", r.logged)
	}
}

// A type whose file is gone is told: its events are taken unchecked in dev, and refused elsewhere.
func TestFolderTellsOfLostTypes(t *testing.T) {
	l := broker(t)
	r, serve := start(t, l), start(t, l)
	serve.cfg.Dev = false
	dir := t.TempDir()
	lay(t, dir, bundleOf("order", "book", "pen"))
	f := r.Folder(FolderConfig{Dir: dir, Actor: "autobus"})
	if err := f.Load(t.Context()); err != nil || r.logged.count("lost") != 0 {
		t.Fatalf("%v, log:\n%s", err, r.logged)
	}
	for _, noun := range []string{"book", "pen"} {
		if err := os.Remove(filepath.Join(dir, "events/orders/"+noun+".placed.v1.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	f.look(t.Context())
	f.look(t.Context())
	lost := `level=WARN msg="types have lost their specs" types="orders.book.placed.v1, orders.pen.placed.v1" effect="`
	if r.logged.count(lost+"their events are unspecified") != 1 {
		t.Errorf("log:\n%s", r.logged)
	}
	until(t, "the other instance tells", func() bool { return serve.logged.count(lost+"their events are refused") == 1 })
}

func TestPollIsOftenEnoughForASecond(t *testing.T) {
	r := start(t, broker(t))
	cfg := r.cfg
	cfg.Poll = 0
	if poll := New(cfg).cfg.Poll; poll <= 0 || 2*poll >= time.Second {
		t.Errorf("poll %s: two looks take a second", poll)
	}
}

// Two instances watch the same folder: they do not push against each other.
func TestTwoInstancesWatchOneFolder(t *testing.T) {
	l := broker(t)
	a, b := start(t, l), start(t, l)
	dir := t.TempDir()
	lay(t, dir, bundleOf("order", "book"))
	watch(t, a, dir)
	watch(t, b, dir)
	until(t, "both follow", func() bool { return a.Snapshot().Len() == 2 && b.Snapshot().Len() == 2 })
	lay(t, dir, bundleOf("pen"))
	until(t, "both follow", func() bool { return a.Snapshot().Len() == 3 && b.Snapshot().Len() == 3 })
	if err := a.control.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, _ := a.control.Get(control.KindManifest, control.ManifestName)
	if first, ok := a.control.Get(control.KindRoute, "orders.pen.placed.v1"); !ok || first.Prev != control.None ||
		m.Prev == control.None || a.Hash() != b.Hash() {
		t.Errorf("route %+v, manifest %+v", first, m)
	}
}

func TestFolderThatNeverWas(t *testing.T) {
	r := start(t, broker(t))
	dir := filepath.Join(t.TempDir(), "specs")
	watch(t, r, dir)
	until(t, "the missing folder is reported", func() bool { return len(r.Problems()) == 1 })
	lay(t, dir, bundleOf("order"))
	until(t, "the folder is there", func() bool { return r.Snapshot().Len() == 1 && len(r.Problems()) == 0 })
}

// While somebody is still writing, two looks see different things: nothing is pushed in the middle.
func TestFolderWaitsForTheLastFile(t *testing.T) {
	r := start(t, broker(t))
	dir := t.TempDir()
	f := r.Folder(FolderConfig{Dir: dir, Actor: "autobus"})
	lay(t, dir, bundleOf("order"))
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, noun := range []string{"book", "pen"} {
		lay(t, dir, bundleOf(noun))
		f.look(t.Context())
		if r.Snapshot().Len() != 1 {
			t.Fatalf("pushed in the middle of writing: %s", names(r.Snapshot()))
		}
	}
	f.look(t.Context())
	if r.Snapshot().Len() != 3 {
		t.Errorf("in force: %s", names(r.Snapshot()))
	}
}

// The brokers are away when the folder changes: the same files are tried again, after a growing pause.
func TestFolderTriesAgain(t *testing.T) {
	r := start(t, broker(t))
	dir := t.TempDir()
	lay(t, dir, bundleOf("order"))
	f := r.Folder(FolderConfig{Dir: dir, Actor: "autobus"})
	if err := r.enter(t.Context()); err != nil { // nobody can push
		t.Fatal(err)
	}
	f.timeout = 10 * time.Millisecond
	if err := f.Load(t.Context()); !has(err, autobus.ReasonClusterUnreachable) {
		t.Errorf("Load: %v", err)
	}
	f.look(t.Context())
	f.look(t.Context())
	if f.pause != r.cfg.Poll || f.again.IsZero() || len(r.Problems()) != 1 || r.Problems()[0].Hint == "" {
		t.Errorf("pause %s, problems %+v", f.pause, r.Problems())
	}
	again := f.again
	f.again = again.Add(time.Hour)
	f.look(t.Context())
	if f.pause != r.cfg.Poll {
		t.Error("tried within the pause")
	}
	f.again = time.Time{}
	f.look(t.Context())
	if f.pause != 2*r.cfg.Poll || !f.again.After(again) {
		t.Errorf("second pause %s", f.pause)
	}
	r.leave()
	f.timeout, f.again = pushTimeout, time.Time{}
	f.look(t.Context())
	if r.Snapshot().Len() != 1 || len(r.Problems()) != 0 || f.pause != 0 {
		t.Errorf("in force: %s, problems %v, pause %s", names(r.Snapshot()), r.Problems(), f.pause)
	}
}

// The change that could not be pushed is taken back: the trouble is over, though the folder looks as it did before.
func TestFolderForgetsTroubleOfAChangeTakenBack(t *testing.T) {
	r := start(t, broker(t))
	dir := t.TempDir()
	lay(t, dir, bundleOf("order"))
	f := r.Folder(FolderConfig{Dir: dir, Actor: "autobus"})
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.enter(t.Context()); err != nil { // nobody can push
		t.Fatal(err)
	}
	f.timeout = 10 * time.Millisecond
	lay(t, dir, spec.Files{"book.yaml": specFile("book", "1.0.0", "bindingVersion: 0.5.0")})
	f.look(t.Context())
	f.look(t.Context())
	if len(r.Problems()) != 1 {
		t.Fatalf("problems %v", r.Problems())
	}
	r.leave()
	if err := os.Remove(filepath.Join(dir, "book.yaml")); err != nil {
		t.Fatal(err)
	}
	f.timeout, f.again = pushTimeout, time.Time{}
	f.look(t.Context())
	f.look(t.Context())
	if len(r.Problems()) != 0 || r.logged.count("specs are in force again") != 1 {
		t.Errorf("problems %v, log:\n%s", r.Problems(), r.logged)
	}
}

func TestLoad(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	dir := t.TempDir()
	cfg := FolderConfig{Dir: dir, Actor: "autobus:i-1", Builtin: spec.Files{
		"demo/pen.yaml":  specFile("pen", "1.0.0", "bindingVersion: 0.5.0"),
		"order.yaml":     []byte("asyncapi: [ # the folder's own file stands before this one"),
		"demo/book.yaml": specFile("book", "1.0.0", "bindingVersion: 0.5.0"),
	}}
	// Nothing is in force yet: to start without the specs would be to start with others than asked for.
	err := r.Folder(cfg).Load(t.Context())
	if !has(err, autobus.ReasonSpecInvalid) || !strings.Contains(err.Error(), "\norder.yaml:1") ||
		!strings.Contains(err.Error(), "\n  Mend the YAML") {
		t.Errorf("bad bundle at the first start: %v", err)
	}
	if hint := autobus.AsError(err).NextStep(); strings.Contains(hint, "stay in force") {
		t.Errorf("hint at the first start: %s", hint)
	}
	missing := FolderConfig{Dir: filepath.Join(dir, "none")}
	err = r.Folder(missing).Load(t.Context())
	if !has(err, autobus.ReasonSpecInvalid) || strings.Contains(autobus.AsError(err).NextStep(), "stay in force") {
		t.Errorf("missing folder at the first start: %v", err)
	}
	lay(t, dir, spec.Files{"order.yaml": specFile("order", "1.0.0", "bindingVersion: 0.5.0")})
	if err := r.Folder(cfg).Load(t.Context()); err != nil || r.Snapshot().Len() != 3 {
		t.Fatalf("in force: %s, %v", names(r.Snapshot()), err)
	}
	rec, _ := r.control.Get(control.KindManifest, control.ManifestName)
	if rec.Actor != "autobus:i-1" || !strings.Contains(rec.Reason, dir) {
		t.Errorf("audit: %q because %q", rec.Actor, rec.Reason)
	}
	// From now on a bad bundle is a report, and so is a folder that is gone.
	lay(t, dir, spec.Files{"order.yaml": []byte("asyncapi: [")})
	for name, cfg := range map[string]FolderConfig{"bad bundle": cfg, "missing folder": missing} {
		if err := r.Folder(cfg).Load(t.Context()); err != nil || r.Snapshot().Len() != 3 || len(r.Problems()) == 0 {
			t.Errorf("%s: %v, in force %s, problems %v", name, err, names(r.Snapshot()), r.Problems())
		}
	}
	// An instance without a folder brings its own files, and takes nothing that others pushed.
	if err := r.Folder(FolderConfig{Builtin: bundleOf("cup")}).Load(t.Context()); err != nil ||
		r.Snapshot().Len() != 4 || !strings.Contains(names(r.Snapshot()), "orders.cup.placed.v1@1.0.0") ||
		len(r.Problems()) != 0 {
		t.Errorf("%v, in force %s, problems %v", err, names(r.Snapshot()), r.Problems())
	}
}

// Between the judgement of a folder and its push another push may come, which it must not undo either.
func TestAFolderIsJudgedByWhatItReplaces(t *testing.T) {
	l := broker(t)
	r, other := start(t, l), start(t, l)
	r.cfg.Dev = false
	push(t, r, bundleOf("order"))
	once := sync.Once{}
	r.cfg.CheckFilter = func(string, map[string]string) error { // runs after the judgement
		once.Do(func() { push(t, other, bundleOf("order", "book")) })
		return nil
	}
	dir := t.TempDir()
	files := bundleOf("order", "cup")
	files["services/reader.yaml"] = []byte(`asyncapi: 3.1.0
info: {title: reader, version: 1.0.0, x-owner: team-reader}
channels:
  placed: {$ref: '../events/orders/order.placed.v1.yaml#/channels/placed'}
operations:
  onPlaced:
    action: receive
    channel: {$ref: '#/channels/placed'}
    x-subscription: {instances: {reader: {}}, filter: "data.id != ''"}
`)
	lay(t, dir, files)
	if err := r.Folder(FolderConfig{Dir: dir, Actor: "autobus:i-2"}).Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(r.Snapshot()); got != "orders.book.placed.v1@1.0.0 orders.order.placed.v1@1.0.0" {
		t.Errorf("in force %s", got)
	}
	if p := r.Problems(); len(p) != 1 || !strings.Contains(p[0].Message, "orders.book.placed.v1") {
		t.Errorf("problems %+v", p)
	}
}

// What comes with the program is in no repository: a push over the API takes nothing of it away, and a start without a
// folder nothing of what was pushed.
func TestAPushLeavesWhatComesWithTheProgram(t *testing.T) {
	l := broker(t)
	r := start(t, l)
	demo := spec.Files{"demo/pen.yaml": specFile("pen", "1.0.0", "bindingVersion: 0.5.0")}
	if err := r.Folder(FolderConfig{Builtin: demo}).Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	pushed := map[string]any{"files": map[string]string{
		"order.yaml": string(specFile("order", "1.0.0", "bindingVersion: 0.5.0"))}}
	const both = "orders.order.placed.v1@1.0.0 orders.pen.placed.v1@1.0.0"
	if code, answer := postSpecs(t, r, pushed, "*"); code != 200 || names(r.Snapshot()) != both {
		t.Errorf("%d %v, in force %s", code, answer, names(r.Snapshot()))
	}
	if _, answer := postSpecs(t, r, pushed, "*"); answer["plan"].(map[string]any)["changed"] != false {
		t.Errorf("the same again changes something: %v", answer)
	}
	again := start(t, l)
	if err := again.Folder(FolderConfig{Builtin: demo}).Load(t.Context()); err != nil || names(again.Snapshot()) != both {
		t.Errorf("after a restart: %v, in force %s", err, names(again.Snapshot()))
	}
}

// An instance of serve that starts with the specs of yesterday, or with those of another repository, takes nothing from
// those who work by what is in force: that is for a push by force.
func TestAnOlderFolderTakesNothingBack(t *testing.T) {
	r := start(t, broker(t))
	r.cfg.Dev = false
	push(t, r, bundleOf("order", "book"))
	dir := t.TempDir()
	lay(t, dir, bundleOf("order"))
	f := r.Folder(FolderConfig{Dir: dir, Actor: "autobus:i-2"})
	if err := f.Load(t.Context()); err != nil || r.Snapshot().Len() != 2 {
		t.Fatalf("%v, in force %s", err, names(r.Snapshot()))
	}
	if p := r.Problems(); len(p) != 1 || !strings.Contains(p[0].Message, "orders.book.placed.v1") ||
		!strings.Contains(p[0].Hint, "--force") {
		t.Errorf("problems %+v", p)
	}
	push(t, r, bundleOf("order")) // by force
	if p := r.Problems(); len(p) > 0 {
		t.Errorf("the folder is in force, and there are problems %+v", p)
	}
	push(t, r, bundleOf("order", "book"))
	lay(t, dir, bundleOf("order", "book", "cup"))
	if err := f.Load(t.Context()); err != nil || r.Snapshot().Len() != 3 || len(r.Problems()) != 0 {
		t.Errorf("what breaks nobody: %v, in force %s, problems %v", err, names(r.Snapshot()), r.Problems())
	}
	r.cfg.Dev = true // dev is for trying things out
	lay(t, dir, bundleOf("order"))
	if err := os.Remove(filepath.Join(dir, "events/orders/cup.placed.v1.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := f.Load(t.Context()); err != nil || r.Snapshot().Len() != 2 {
		t.Errorf("dev: %v, in force %s", err, names(r.Snapshot()))
	}
}
