// SPDX-License-Identifier: Apache-2.0

// Package registry brings specs into force: it takes a bundle of files, gives each type its topic and its route,
// writes the files to the control log and swaps the manifest. What is in force it holds as an immutable snapshot that
// the hot path reads without a lock.
//
//	files -> spec.Parse -> plan (pure) -> topics -> spec records -> routes -> schemas -> manifest = the swap
//	                                           control log -> manifest -> spec.Parse -> Snapshot
//
// Invariants: a bundle with a fault changes nothing; what is in force comes from the control log alone, also on the
// instance that pushed; a push of what is in force writes nothing; the partition count of a topic is never changed,
// nor is an existing topic taken over under another count; nothing ever deletes a topic or a route, because they hold
// data; every change is a compare-and-set, so instances that start together with the same folder agree.
//
// It is a schema registry too, for clients of Kafka (schemaapi*.go): it answers for the schemas of types, which only a
// push changes, and keeps those that clients register for topics of their own. schemas.go holds both.
//
// It refuses to know how events are published and what a spec means; the first is internal/bus, the second spec.
package registry

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// defaultPoll makes a change seen within about a second: two looks must agree, then the push begins.
const defaultPoll = 400 * time.Millisecond

// maxWarnings is how many faults the log is told at once; Problems has them all.
const maxWarnings = 50

// Config says which cluster a registry works on.
type Config struct {
	Log         *kafka.Log
	Control     *control.Log
	ClusterName string // written into new routes
	Embedded    bool   // one broker, one copy: replicas and min.insync.replicas are cut to 1
	Dev         bool   // a type whose spec is silent gets 1 partition; CreateType works
	Logger      *slog.Logger
	Poll        time.Duration // how often a Folder looks; 0 = 400 ms

	// CheckFilter says what is wrong with a subscription's filter; nil = filters are not looked at.
	CheckFilter func(filter string, params map[string]string) error
}

// Registry knows the specs in force and changes them. Safe for concurrent use.
type Registry struct {
	cfg    Config
	gate   chan struct{} // held by whoever changes topics and control records from here
	force  atomic.Pointer[inForce]
	folder atomic.Pointer[heldBack] // of the watched folder

	builtin spec.Files // of the Folder

	swapped chan struct{} // one token: other specs are in force
	schemas *schemas

	swappedSchemas chan struct{} // the same for Keep

	past past

	caughtUp sync.Mutex
	last     time.Time // of the last barrier
}

// inForce is one swap.
type inForce struct {
	snapshot *spec.Snapshot
	files    spec.Files // that the snapshot was made of
	hash     string
	unread   spec.Problems  // why the newest manifest could not be used; the snapshot is then an older one
	newer    *autobus.Error // the same, when it is that a newer build wrote it
}

// New makes a registry that follows the control log. The log has been replayed, so the snapshot is there at once.
func New(cfg Config) *Registry {
	if cfg.Poll == 0 {
		cfg.Poll = defaultPoll
	}
	r := &Registry{cfg: cfg, gate: make(chan struct{}, 1), swapped: make(chan struct{}, 1),
		swappedSchemas: make(chan struct{}, 1), schemas: newSchemas(cfg.Control, cfg.Logger),
		past: past{read: control.None}}
	r.force.Store(&inForce{snapshot: spec.Empty()})
	cfg.Control.Watch(control.KindManifest, r.swap)
	return r
}

// Snapshot is the specs in force. It never changes; ask again for the next one.
func (r *Registry) Snapshot() *spec.Snapshot { return r.force.Load().snapshot }

// Hash names the bundle in force; empty when there never was one.
func (r *Registry) Hash() string { return r.force.Load().hash }

// Problems says why a newer bundle is not in force: faults in the watched folder, or a manifest of another instance
// that this build cannot read. None means that everything known is in force.
func (r *Registry) Problems() spec.Problems {
	out := slices.Clone(r.force.Load().unread)
	if h := r.folder.Load(); h != nil && (h.files == "" || h.files != r.Hash()) { // else others brought it into force
		out = append(out, h.problems...)
	}
	return out
}

// heldBack is why what a folder has is not in force, and the hash of it where it could be read.
type heldBack struct {
	problems spec.Problems
	files    string
}

// Unreadable says that specs of a newer build stand in the control log, which may declare what is not known here; nil =
// none do.
func (r *Registry) Unreadable() *autobus.Error { return r.force.Load().newer }

// swap runs on the control log's goroutine for each manifest that counts.
func (r *Registry) swap(rec control.Record) {
	old := r.force.Load()
	if rec.Name != control.ManifestName {
		return
	}
	if rec.Removed() {
		r.tellLost(old.snapshot, spec.Empty())
		r.force.Store(&inForce{snapshot: spec.Empty()})
		return
	}
	next, err := r.load(rec)
	if err != nil {
		problems := problemsOf("", err)
		r.warn(problems)
		r.cfg.Logger.Error("the newest specs are not in force; the ones before stay in force", "offset", rec.Offset,
			"actor", rec.Actor, "faults", len(problems))
		next := &inForce{snapshot: old.snapshot, files: old.files, hash: old.hash, unread: problems}
		if e, ok := errors.AsType[*autobus.Error](err); ok && e.Reason == autobus.ReasonTypeUnreadable {
			next.newer = e
		}
		r.force.Store(next)
		return
	}
	r.tellLost(old.snapshot, next.snapshot)
	r.force.Store(next)
	for _, told := range []chan struct{}{r.swapped, r.swappedSchemas} {
		select {
		case told <- struct{}{}:
		default:
		}
	}
}

// warn tells each fault in a line of its own, so that people can read it.
func (r *Registry) warn(problems spec.Problems) {
	for _, p := range problems[:min(len(problems), maxWarnings)] {
		r.cfg.Logger.Warn("specs cannot be used", "fault", p.String(), "hint", p.Hint)
	}
}

// tellLost warns of types whose spec is in force no more: that may be a slip, and their events go on.
func (r *Registry) tellLost(before, after *spec.Snapshot) {
	var lost []string
	for _, t := range before.Types() {
		if _, ok := after.Type(t.Name); !ok {
			lost = append(lost, t.Name)
		}
	}
	if len(lost) == 0 {
		return
	}
	what := "their events are refused"
	if r.cfg.Dev {
		what = "their events are unspecified: nothing checks them"
	}
	r.cfg.Logger.Warn("types have lost their specs", "types", strings.Join(lost, ", "), "effect", what)
}

// load builds the snapshot of a manifest. Its spec records stand before it in the log, so they are there.
func (r *Registry) load(rec control.Record) (*inForce, error) {
	m, err := control.Decode[control.Manifest](rec)
	if err != nil {
		return nil, err
	}
	files := make(spec.Files, len(m.Files))
	for _, f := range m.Files {
		raw, ok := r.cfg.Control.Get(control.KindSpec, f.Hash)
		if !ok {
			return nil, spec.Problems{{File: f.Path, Message: "the control log has no spec record " + f.Hash}}
		}
		s, err := control.Decode[control.SpecFile](raw)
		if err != nil {
			return nil, err
		}
		files[f.Path] = []byte(s.Content)
	}
	snapshot, err := spec.Parse(files)
	if err != nil {
		return nil, err
	}
	return &inForce{snapshot: snapshot, files: files, hash: bundleHash(m)}, nil
}

// enter waits for the right to change things from this instance.
func (r *Registry) enter(ctx context.Context) error {
	select {
	case r.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return autobus.NewError(autobus.ReasonClusterUnreachable, "another change of specs did not end in time").
			WithCause(ctx.Err())
	}
}

func (r *Registry) leave() { <-r.gate }

// problemsOf gives any error the form of faults of a file or folder.
func problemsOf(file string, err error) spec.Problems {
	if p, ok := errors.AsType[spec.Problems](err); ok {
		return p
	}
	p := spec.Problem{File: file, Message: err.Error()}
	if known, ok := errors.AsType[*autobus.Error](err); ok {
		p.Hint = known.NextStep()
		if known.Reason == autobus.ReasonSpecInvalid { // its detail names the file or folder
			p.File, p.Message = "", known.Detail
		}
	}
	return spec.Problems{p}
}
