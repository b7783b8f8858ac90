// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/autobus-io/autobus/spec"
)

// fromServer is what a bus had and has in force, where a folder could be named. A folder of that name is ./server.
const fromServer = "server"

// specHistory reads earlier versions of a folder: other folders, git:REF for itself at a commit, or what was in force.
func (a *app) specHistory(ctx context.Context, older []string, newer string) ([]*spec.Snapshot, error) {
	var history []*spec.Snapshot
	for _, name := range older {
		if name == fromServer {
			had, err := a.inForce(ctx)
			if err != nil {
				return nil, err
			}
			history = append(history, had...)
			continue
		}
		files := func() (spec.Files, error) { return filesIn(name) }
		if ref, ok := strings.CutPrefix(name, "git:"); ok {
			files = func() (spec.Files, error) { return specsAt(ctx, ref, newer) }
		}
		snapshot, err := readSpecs(files, name)
		if err != nil {
			return nil, err
		}
		history = append(history, snapshot)
	}
	return history, nil
}

// inForce reads what was in force on the bus, the oldest first and what is now last. What an older build took and this
// one does not is left out, unless it is in force now.
func (a *app) inForce(ctx context.Context) ([]*spec.Snapshot, error) {
	doc, err := a.getDoc(ctx, "/v1/specs/history")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Bundles []struct {
			Hash  string            `json:"hash"`
			Files map[string]string `json:"files"`
		} `json:"bundles"`
		Contents map[string]string `json:"contents"`
	}
	if err := json.Unmarshal(doc, &answer); err != nil {
		return nil, unreadable("the answer", err)
	}
	history := []*spec.Snapshot{}
	for i, b := range answer.Bundles {
		files := spec.Files{}
		for path, hash := range b.Files {
			if !strings.HasPrefix(path, builtinPrefix) { // what dev brings along is in no folder of anybody
				files[path] = []byte(answer.Contents[hash])
			}
		}
		snapshot, err := readSpecs(func() (spec.Files, error) { return files, nil }, "force on "+a.server)
		switch {
		case err == nil:
			history = append(history, snapshot)
		case i == len(answer.Bundles)-1:
			return nil, err
		}
	}
	return history, nil
}
