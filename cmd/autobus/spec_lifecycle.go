// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

func (a *app) newSpecDeprecateCommand() *cobra.Command {
	var dir, sunset, replacedBy string
	cmd := &cobra.Command{
		Use:   "deprecate TYPE",
		Short: "Say that a type goes, when, and what replaces it",
		Long: "Write x-lifecycle: deprecated, x-sunset and x-replaced-by into the file of a type. Nothing changes for\n" +
			"those who use it; lint holds the new major to naming it.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus spec deprecate orders.order.placed.v1 --sunset 2027-01-31 --replaced-by orders.order.placed.v2",
		Args:    named("type", "autobus spec deprecate orders.order.placed.v1 --sunset 2027-01-31", cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := time.Parse(time.DateOnly, sunset); err != nil {
				return usage("--sunset is %q", sunset).WithHint("Give the day after which nobody may use it: 2027-01-31.")
			}
			snapshot, t, err := knownType(specsFolder(dir), args[0])
			if err != nil {
				return err
			}
			keys := [][2]string{{"x-sunset", "'" + sunset + "'"}}
			if replacedBy != "" {
				if _, ok := snapshot.Type(replacedBy); !ok {
					return unknownType(snapshot, replacedBy)
				}
				keys = append(keys, [2]string{"x-replaced-by", replacedBy})
			}
			return a.setLifecycle(specsFolder(dir), t, "deprecated", keys)
		},
	}
	specsFlag(cmd, &dir)
	cmd.Flags().StringVar(&sunset, "sunset", "", "the day after which nobody may use it")
	cmd.Flags().StringVar(&replacedBy, "replaced-by", "", "the type that readers move to")
	return cmd
}

// setLifecycle writes the lifecycle of a type and what goes with it into its file, which else stays as it is.
func (a *app) setLifecycle(dir string, t *spec.Type, lifecycle string, keys [][2]string) error {
	path := filepath.Join(dir, filepath.FromSlash(t.File))
	before, err := readFile(path)
	if err != nil {
		return err
	}
	text := before
	for _, k := range keys { // what is not named again stays as it was said before
		text = regexp.MustCompile(`(?m)^ *`+k[0]+`: .*\n|, `+k[0]+`: [^,}\n]*`).ReplaceAll(text, nil)
	}
	add := "x-lifecycle: " + lifecycle
	block := regexp.MustCompile(`(?m)^( +)x-lifecycle: *[a-z]+( +#.*)?`) // a comment stays with its line
	flow := regexp.MustCompile(`(\b)x-lifecycle: *[a-z]+`)
	if !flow.Match(text) { // it stands beside the version
		block = regexp.MustCompile(`(?m)^( +)version: *['"]?[0-9.]+['"]?( +#.*)?`)
		flow = regexp.MustCompile(`(\b)version: *['"]?[0-9.]+['"]?`)
		found := flow.Find(text)
		add = string(found) + "${2}\n${1}" + add
		if !block.Match(text) {
			add = string(found) + ", x-lifecycle: " + lifecycle
		}
	}
	re, between := flow, ", "
	if block.Match(text) {
		re, between = block, "\n${1}"
		if add = "${1}" + add; !strings.Contains(add, "${2}") {
			add += "${2}"
		}
	}
	for _, k := range keys {
		add += between + k[0] + ": " + k[1]
	}
	text = []byte(replaceFirst(re, string(text), add))
	if err := a.checkEdit(dir, t, lifecycle, text); err != nil {
		return err
	}
	if bytes.Equal(text, before) {
		a.note("%s says so already.", path)
		return nil
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	fmt.Fprintln(a.out, path)
	return nil
}

// checkEdit makes sure that the file says what was meant before it is written.
func (a *app) checkEdit(dir string, t *spec.Type, lifecycle string, text []byte) error {
	files, err := filesIn(dir)
	if err != nil {
		return err
	}
	files[t.File] = text
	snapshot, err := spec.Parse(files)
	if err == nil {
		if edited, ok := snapshot.Type(t.Name); ok && edited.Lifecycle == lifecycle {
			return nil
		}
	}
	return autobus.NewError(autobus.ReasonSpecInvalid, "%s is not written in a way that can be edited here", t.File).
		WithHint("Write x-lifecycle: %s into its info yourself.", lifecycle).WithCause(err)
}
