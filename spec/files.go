// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/autobus-io/autobus"
)

// maxFileBytes bounds one file: a spec is written by people.
const maxFileBytes = 1 << 20

// Files are the YAML files of a spec repository: slash-separated path -> content.
type Files map[string][]byte

// ReadDir reads all *.yaml and *.yml files below dir. Names that begin with a dot are left out; symbolic links to
// files are followed, because mounted configuration consists of them.
func ReadDir(dir string) (Files, error) {
	files := Files{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || path.Ext(name) != ".yaml" && path.Ext(name) != ".yml":
			return nil
		}
		info, err := fs.Stat(root, name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		if info.Size() > maxFileBytes {
			return autobus.NewError(autobus.ReasonSpecInvalid, "the spec file %s has %d bytes, more than %d",
				filepath.Join(dir, name), info.Size(), maxFileBytes).WithHint("Split it: one file per event type.")
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		files[name] = data
		return nil
	})
	if known := (*autobus.Error)(nil); errors.As(err, &known) {
		return nil, known
	}
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonSpecInvalid, "the specs in %s cannot be read: %v", dir, err).
			WithHint("Check that the folder exists and may be read.").WithCause(err)
	}
	return files, nil
}
