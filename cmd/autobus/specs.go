// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/registry"
	"github.com/autobus-io/autobus/spec"
)

// specsEvery is how often dev looks at the folder of specs. It reads the files instead of asking the system to tell,
// because mounted folders do not tell.
const specsEvery = time.Second

// specFolder pushes the files of a folder, together with those that come with the program.
type specFolder struct {
	registry *registry.Registry
	dir      string // "" = no folder
	builtin  spec.Files
	actor    string // for the audit trail
	logger   *slog.Logger

	seen, done spec.Files // at the last look, at the last push
	known      bool       // done and last are of this folder as it is
	last       error      // what came of it
	warned     string     // what the log was told last

	mu       sync.Mutex
	problems spec.Problems
}

// load pushes what is there now. Where earlier specs are in force a bad bundle is reported and they stay; where there
// are none it is an error, because the first events would then make topics that no spec describes.
func (f *specFolder) load(ctx context.Context) error {
	err := f.push(ctx, nil)
	if err != nil && f.registry.Hash() != "" && errors.Is(err, &autobus.Error{Reason: autobus.ReasonSpecInvalid}) {
		f.logger.Warn("specs of the folder cannot be used; the ones before stay in force", "dir", f.dir, "error", err)
		return nil
	}
	return err
}

// watch pushes the folder whenever it changed.
func (f *specFolder) watch(ctx context.Context) error {
	tick := time.NewTicker(specsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := f.look(ctx)
		switch {
		case err == nil:
			f.warned = ""
		case ctx.Err() == nil && err.Error() != f.warned:
			f.warned = err.Error()
			f.logger.Warn("specs of the folder cannot be used; the ones before stay in force", "dir", f.dir, "error", err)
		}
	}
}

// look pushes files that look the same twice: then nobody is in the middle of writing them.
func (f *specFolder) look(ctx context.Context) error {
	files, err := spec.ReadDir(f.dir)
	if err != nil {
		f.known = false
		return f.keep(err)
	}
	settled := sameFiles(files, f.seen)
	f.seen = files
	if !settled || f.known && sameFiles(files, f.done) {
		return f.last
	}
	return f.push(ctx, files)
}

// push brings files, or those of the folder now, into force.
func (f *specFolder) push(ctx context.Context, files spec.Files) error {
	if files == nil && f.dir != "" {
		var err error
		if files, err = spec.ReadDir(f.dir); err != nil {
			return f.keep(err)
		}
	}
	f.seen = files
	all := maps.Clone(f.builtin)
	if all == nil {
		all = spec.Files{}
	}
	maps.Copy(all, files)
	_, err := f.registry.Push(ctx, all, f.actor, "specs of the folder "+f.dir)
	if err == nil || errors.Is(err, &autobus.Error{Reason: autobus.ReasonSpecInvalid}) {
		f.known, f.done = true, files // the same files would give the same answer; anything else is worth another try
	}
	return f.keep(err)
}

// keep remembers what is wrong for /v1/status and gives it back with every fault in its text.
func (f *specFolder) keep(err error) error {
	var p spec.Problems
	if errors.As(err, &p) {
		err = autobus.NewError(autobus.ReasonSpecInvalid, "%d %s in %s\n%s", len(p), plural(len(p), "fault"), f.dir,
			p.Error()).WithCause(p)
	} else if err != nil {
		p = spec.Problems{{File: f.dir, Message: err.Error()}}
	}
	f.mu.Lock()
	f.problems = p
	f.mu.Unlock()
	f.last = err
	return err
}

// Problems says why newer specs are not in force.
func (f *specFolder) Problems() spec.Problems {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(f.registry.Problems(), f.problems...)
}

func sameFiles(a, b spec.Files) bool { return maps.EqualFunc(a, b, bytes.Equal) }
