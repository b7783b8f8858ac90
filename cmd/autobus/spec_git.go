// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/autobus-io/autobus/spec"
)

// maxArchiveBytes bounds what is read of a commit: specs are written by people.
const maxArchiveBytes = 256 << 20

// specsAt reads the YAML files below a folder as a commit has them, by the rules of spec.ReadDir. Before the first
// commit there are none: workflows name what was before a new branch by zeros.
func specsAt(ctx context.Context, ref, dir string) (spec.Files, error) {
	if isNoCommit(ref) {
		return spec.Files{}, nil
	}
	raw, err := git(ctx, dir, ref, "archive", "--format=tar", "--end-of-options", ref)
	if err != nil {
		return nil, err
	}
	files := spec.Files{}
	in := tar.NewReader(bytes.NewReader(raw))
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		ext := path.Ext(header.Name)
		hidden := strings.HasPrefix(header.Name, ".") || strings.Contains(header.Name, "/.")
		if header.Typeflag != tar.TypeReg || hidden || ext != ".yaml" && ext != ".yml" {
			continue
		}
		if files[header.Name], err = io.ReadAll(in); err != nil {
			return nil, err
		}
	}
}

// isNoCommit tells the name by which git means that there is nothing: a hash, of SHA-1 or SHA-256, of zeros.
func isNoCommit(ref string) bool {
	return (len(ref) == 40 || len(ref) == 64) && strings.Trim(ref, "0") == ""
}

// fileAt reads one file as a commit has it.
func fileAt(ctx context.Context, ref, name string) ([]byte, error) {
	return git(ctx, filepath.Dir(name), ref, "show", "--end-of-options", ref+":./"+filepath.ToSlash(filepath.Base(name)))
}

// git runs git in a folder and gives what it prints.
func git(ctx context.Context, dir, ref string, args ...string) ([]byte, error) {
	if ref == "" || strings.HasPrefix(ref, "-") {
		return nil, usage("git:%s names no commit", ref).WithHint("Name a branch, a tag or a hash, such as git:main.")
	}
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limitedBuffer{to: &out, left: maxArchiveBytes}, &stderr
	if err := cmd.Run(); err != nil {
		why := strings.TrimSpace(stderr.String())
		if why == "" {
			why = err.Error()
		}
		first, _, _ := strings.Cut(why, "\n")
		return nil, usage("%s at %s cannot be read: %s", dir, ref, first).
			WithHint("Check that the folder is in a git repository and that the commit is there; git fetch may help.")
	}
	return out.Bytes(), nil
}

// limitedBuffer refuses what is too much.
type limitedBuffer struct {
	to   *bytes.Buffer
	left int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errors.New("the answer of git is too large")
	}
	l.left -= len(p)
	return l.to.Write(p)
}
