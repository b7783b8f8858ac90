// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"errors"
	"fmt"
	"io"
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
// files are followed, because mounted configuration consists of them. Of a file that is too large it reads as much as
// Parse needs to refuse it beside all else that is wrong.
func ReadDir(dir string) (Files, error) {
	files := Files{}
	err := walkDir(dir, func(root fs.FS, name string, _ fs.FileInfo) error {
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // it was only read
		files[name], err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
		return err
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

// Fingerprint changes when a file does that ReadDir reads: names, sizes and times of change are enough to know that it
// is worth reading them.
func Fingerprint(dir string) (string, error) {
	var b strings.Builder
	err := walkDir(dir, func(_ fs.FS, name string, info fs.FileInfo) error {
		_, err := fmt.Fprintf(&b, "%s\x00%d\x00%d\n", name, info.Size(), info.ModTime().UnixNano())
		return err
	})
	if err != nil {
		return "", err
	}
	return b.String(), nil
}

// walkDir visits the spec files below dir. What cannot be read is an error that names it.
func walkDir(dir string, visit func(root fs.FS, name string, info fs.FileInfo) error) error {
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
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		return visit(root, name, info)
	})
	if _, known := errors.AsType[*autobus.Error](err); err == nil || known {
		return err
	}
	what, why := "folder "+dir, err
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		why = at.Err // the error's own path counts from dir and calls that a dot
		if at.Path != "." {
			what = "spec " + filepath.Join(dir, filepath.FromSlash(at.Path))
		}
	}
	return autobus.NewError(autobus.ReasonSpecInvalid, "the %s cannot be read: %v", what, why).
		WithHint("Check that it exists and may be read.").WithCause(err)
}
