// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

const (
	pushTimeout = time.Minute      // of one push: a cluster that does not answer must not end the watching
	maxPause    = 30 * time.Second // between tries of a push that failed for another reason than its files
)

// FolderConfig says which files a Folder brings into force.
type FolderConfig struct {
	Dir     string     // "" = no folder, only what is built in
	Builtin spec.Files // files that come with the program and belong to every bundle, also to those pushed over the API;
	// others of the same path win
	Actor string // for the audit
}

// Folder brings the files of a folder into force. Load and Run are not for use at the same time.
type Folder struct {
	FolderConfig
	registry *Registry
	pending  string        // fingerprint of the last look
	done     string        // fingerprint that was dealt with, if loaded
	loaded   bool          // done is one
	warned   string        // what the log was told last
	files    string        // hash of what was tried last, "" = it could not be read
	timeout  time.Duration // of one push
	again    time.Time     // not before, after a failure that is not the files' fault
	pause    time.Duration
}

// Folder makes a folder whose troubles Problems tells. A registry has one, before its edge serves.
func (r *Registry) Folder(cfg FolderConfig) *Folder {
	r.builtin = cfg.Builtin
	return &Folder{FolderConfig: cfg, registry: r, timeout: pushTimeout}
}

// Load brings into force what is there now, outside dev only if it breaks nobody who works by what is in force. Where
// earlier specs are in force a bad bundle is reported (Problems and the log) and they stay; where there are none it is
// an error that tells every fault.
func (f *Folder) Load(ctx context.Context) error {
	seen, err := f.fingerprint()
	readable := err == nil
	f.files = ""
	if readable {
		err = f.push(ctx)
	}
	if err != nil && (!badBundle(err) || f.registry.Hash() == "" && f.registry.Unreadable() == nil) {
		return allFaults(f.Dir, err)
	}
	f.pending, f.done, f.loaded = seen, seen, readable
	f.report(seen, err)
	return nil
}

// Run brings the folder into force whenever it changes, until ctx ends. It looks at the folder instead of asking the
// system to tell, because mounted and network folders do not tell. A bad bundle is reported, in the log once per
// content, and never replaces what is in force.
func (f *Folder) Run(ctx context.Context) error {
	tick := time.NewTicker(f.registry.cfg.Poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		f.look(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

func (f *Folder) look(ctx context.Context) {
	seen, err := f.fingerprint()
	if err != nil {
		f.loaded, f.files = false, ""
		f.report(seen, err)
		return
	}
	// Between two looks that see the same nobody is in the middle of writing.
	settled := seen == f.pending
	f.pending = seen
	if !settled || f.loaded && seen == f.done || time.Now().Before(f.again) {
		return
	}
	err = f.push(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case err == nil || badBundle(err):
		f.done, f.loaded, f.pause = seen, true, 0
	default: // the cluster's fault: the same files may do later, those before too
		f.loaded = false
		f.pause = min(max(2*f.pause, f.registry.cfg.Poll), maxPause)
		f.again = time.Now().Add(f.pause)
	}
	f.report(seen, err)
}

func (f *Folder) push(ctx context.Context) error {
	f.files = ""
	files, reason := maps.Clone(f.registry.Files()), "specs of the program"
	if files == nil {
		files = spec.Files{}
	}
	maps.Copy(files, f.Builtin) // what was pushed over the API stays beside them
	if f.Dir != "" {
		own, err := spec.ReadDir(f.Dir)
		if err != nil {
			return err
		}
		files, reason = f.registry.complete(own), "specs of the folder "+f.Dir
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if b, err := readBundle(files); err == nil {
		f.files = b.hash
	}
	for range attempts {
		base, err := f.registry.follows(ctx, files)
		if err == nil {
			_, err = f.registry.push(ctx, files, base, change{f.Actor, reason})
		}
		if base == nil || !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return err
		}
	}
	return autobus.NewError(autobus.ReasonControlConflict, "others changed the specs %d times meanwhile", attempts)
}

// complete adds what comes with the program to the files of a repository.
func (r *Registry) complete(own spec.Files) spec.Files {
	files := make(spec.Files, len(r.builtin)+len(own))
	maps.Copy(files, r.builtin)
	maps.Copy(files, own)
	return files
}

func badBundle(err error) bool {
	return errors.Is(err, &autobus.Error{Reason: autobus.ReasonSpecInvalid})
}

// allFaults puts every fault of a bundle into the text of its error, for a start without earlier specs.
func allFaults(dir string, err error) error {
	var problems spec.Problems
	if !errors.As(err, &problems) {
		return err
	}
	var lines strings.Builder
	for _, p := range problems {
		lines.WriteString("\n" + p.String())
		if p.Hint != "" {
			lines.WriteString("\n  " + p.Hint)
		}
	}
	return autobus.NewError(autobus.ReasonSpecInvalid, "the specs in %s have faults:%s", dir, &lines).
		WithHint("Mend the places named and start again; no earlier specs are in force.").WithCause(problems)
}

// report keeps what is wrong for Problems and tells the log once.
func (f *Folder) report(seen string, err error) {
	if err == nil {
		if f.warned != "" { // as loud as the warning that is over
			f.registry.cfg.Logger.Warn("specs are in force again", "dir", f.Dir, "types", f.registry.Snapshot().Len())
		}
		f.warned = ""
		f.registry.folder.Store(nil)
		return
	}
	problems := problemsOf(f.Dir, err)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		problems[0].Hint = "Put it back, or let it be read; the specs in force stay in force."
	}
	f.registry.folder.Store(&heldBack{problems, f.files})
	if said := seen + err.Error(); said != f.warned {
		f.warned = said
		f.registry.warn(problems)
		f.registry.cfg.Logger.Warn("the folder's specs are not in force; the ones before stay in force", "dir", f.Dir,
			"faults", len(problems))
	}
}

func (f *Folder) fingerprint() (string, error) {
	if f.Dir == "" {
		return "", nil
	}
	return spec.Fingerprint(f.Dir)
}
