// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// bundle is a parsed set of files in the form in which the control log keeps it.
type bundle struct {
	snapshot *spec.Snapshot
	manifest control.Manifest           // sorted by path
	specs    map[string]json.RawMessage // hash -> value of the spec record
	hash     string
}

// readBundle parses files. Faults of the files come as spec.Problems.
func readBundle(files spec.Files) (*bundle, error) {
	snapshot, err := spec.Parse(files)
	if err != nil {
		return nil, err
	}
	b := &bundle{snapshot: snapshot, specs: map[string]json.RawMessage{}}
	var faults spec.Problems
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if !utf8.Valid(files[path]) {
			faults = append(faults, spec.Problem{File: path, Line: 1, Message: "the file is not UTF-8",
				Hint: "Save it as UTF-8."})
			continue
		}
		sum := sha256.Sum256(files[path])
		hash := hex.EncodeToString(sum[:])
		value, err := json.Marshal(control.SpecFile{Path: path, Content: string(files[path])})
		if err != nil {
			return nil, fmt.Errorf("spec record of %s: %w", path, err)
		}
		if len(value) > autobus.MaxEventBytes {
			faults = append(faults, spec.Problem{File: path, Line: 1, Message: fmt.Sprintf(
				"the file takes %d bytes in the control log, at most %d fit", len(value), autobus.MaxEventBytes),
				Hint: "Move schemas that several types share into files of their own."})
			continue
		}
		b.specs[hash] = value
		b.manifest.Files = append(b.manifest.Files, control.ManifestFile{Path: path, Hash: hash})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	b.hash = bundleHash(b.manifest)
	return b, nil
}

// bundleHash names a bundle by its files' names and contents.
func bundleHash(m control.Manifest) string {
	sum := sha256.New()
	for _, f := range m.Files {
		_, _ = fmt.Fprintf(sum, "%s\x00%s\n", f.Path, f.Hash)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// refused makes what the brokers say against a topic a fault of the spec that asks for it: they name the setting.
func (b *bundle) refused(topic string, err error) error {
	if _, known := errors.AsType[*autobus.Error](err); known {
		return err
	}
	p := spec.Problem{
		Message: fmt.Sprintf("the cluster refuses topic %s: %v", topic, err),
		Hint:    "Mend what the channel's Kafka binding asks for.",
	}
	if t, ok := b.snapshot.Type(topic); ok {
		p.File, p.Line = t.File, t.Line
	}
	return spec.Problems{p}
}
