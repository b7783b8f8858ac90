// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	requirements = "requirements-test.txt" // in the folder of a suite of Python: what it is run with, pinned
	pythonLimit  = 5 * time.Minute         // of one suite
)

// pythonSuites are the folders whose tests pytest runs. They find the bus as AUTOBUS_BIN.
var pythonSuites = []string{"sdk/python"}

// python runs the suites of Python that were asked for.
func (r *runner) python(ctx context.Context) {
	for _, dir := range pythonSuites {
		if !r.only.MatchString(dir) || ctx.Err() != nil {
			continue
		}
		python, missing, err := venv(ctx, filepath.Join(dir, requirements))
		switch {
		case err != nil:
			r.add(&Suite{Name: dir, Broken: true, Output: err.Error() + "\n"})
		case missing != "":
			r.skip(dir, missing)
		default:
			r.add(pytest(ctx, dir, python))
		}
	}
}

// venv makes an environment with what a file of requirements names, or finds it: a folder of .cache named by the file's
// content, so that other requirements never meet an old one. missing says what this machine lacks for it.
func venv(ctx context.Context, file string) (python, missing string, err error) {
	const version = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))"
	if _, err := command(ctx, nil, "python3", "-c", version); err != nil {
		return "", fmt.Sprintf("python3 of 3.10 or newer with venv is not installed: %v", err), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(text)
	dir, err := filepath.Abs(filepath.Join(".cache", "python", hex.EncodeToString(sum[:6])))
	if err != nil {
		return "", "", err
	}
	python, whole := filepath.Join(dir, "bin", "python"), filepath.Join(dir, "whole")
	if _, err := os.Stat(whole); err == nil {
		return python, "", nil
	}
	if _, err := command(ctx, nil, "python3", "-m", "venv", "--clear", dir); err != nil {
		return "", "", err
	}
	if _, err := command(ctx, nil, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
		"--requirement", file); err != nil {
		return "", fmt.Sprintf("the packages of %s cannot be installed: %v", file, err), nil
	}
	return python, "", os.WriteFile(whole, nil, 0o644)
}

// pytest runs the tests of a folder.
func pytest(ctx context.Context, dir, python string) *Suite {
	s, began := &Suite{Name: dir}, time.Now()
	defer func() { s.Elapsed = time.Since(began) }()
	tmp, err := os.MkdirTemp("", "autobus-pytest-")
	if err != nil {
		return broken(s, err)
	}
	defer os.RemoveAll(tmp)
	src, err := filepath.Abs(filepath.Join(dir, "src"))
	if err != nil {
		return broken(s, err)
	}
	bin, report := filepath.Join(tmp, "autobus"), filepath.Join(tmp, "report.xml")
	if _, err := command(ctx, nil, "go", "build", "-o", bin, "./cmd/autobus"); err != nil {
		return broken(s, err)
	}
	ctx, cancel := context.WithTimeout(ctx, pythonLimit)
	defer cancel()
	cmd := tests(ctx, []string{"AUTOBUS_BIN=" + bin, "PYTHONPATH=" + src, "PYTHONDONTWRITEBYTECODE=1"},
		python, "-m", "pytest", "--junitxml="+report)
	cmd.Dir = dir
	out, runErr := cmd.CombinedOutput()
	text, err := os.ReadFile(report)
	if err == nil {
		err = readPytest(text, s)
	}
	if s.Broken = err != nil || runErr != nil && s.Failed == 0 || s.Tests() == 0; s.Broken || s.Failed > 0 {
		s.Output = fmt.Sprintf("%s\npytest: %v\n", strings.TrimSpace(string(out)), runErr)
	}
	return s
}

func broken(s *Suite, err error) *Suite {
	s.Broken, s.Output = true, err.Error()+"\n"
	return s
}

// readPytest counts what a report of pytest, in the form of JUnit, tells.
func readPytest(text []byte, s *Suite) error {
	var report struct {
		Cases []struct {
			Class   string     `xml:"classname,attr"`
			Name    string     `xml:"name,attr"`
			Failure []struct{} `xml:"failure"`
			Error   []struct{} `xml:"error"`
			Skipped *struct {
				Why string `xml:"message,attr"`
			} `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(text, &report); err != nil {
		return err
	}
	for _, c := range report.Cases {
		switch {
		case len(c.Failure)+len(c.Error) > 0:
			s.Failed++
		case c.Skipped != nil:
			s.Skipped = append(s.Skipped, Skip{c.Class + "." + c.Name, c.Skipped.Why})
		default:
			s.Passed++
		}
	}
	return nil
}
