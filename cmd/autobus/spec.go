// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

func (a *app) newSpecCommand() *cobra.Command {
	return group("spec", "Work on event specs", "  autobus spec lint specs\n"+
		"  autobus spec diff specs --against git:main\n"+
		"  autobus spec diff --json-schema old.json new.json --level BACKWARD --policy strict",
		a.newSpecInitCommand(), a.newSpecNewCommand(), a.newSpecLintCommand(), a.newSpecDiffCommand(),
		a.newSpecListCommand(), a.newSpecShowCommand(), a.newSpecExportCommand(), a.newSpecImportCommand(),
		a.newSpecPushCommand(), a.newSpecDeprecateCommand(), a.newSpecRetireCommand())
}

// readSpecs reads a spec repository from a folder, or from the folder as a commit of git has it.
func readSpecs(files func() (spec.Files, error), name string) (*spec.Snapshot, error) {
	found, err := files()
	if err != nil {
		return nil, err
	}
	snapshot, err := spec.Parse(found)
	if problems, ok := errors.AsType[spec.Problems](err); ok {
		return nil, autobus.NewError(autobus.ReasonSpecInvalid, "the specs in %s have faults:\n%s", name, problems).
			WithHint("Mend them first; %s", problems[0].Hint).WithCause(err)
	}
	return snapshot, err
}

// specsIn reads the specs of a folder that the command line names.
func specsIn(dir string) (*spec.Snapshot, error) {
	return readSpecs(func() (spec.Files, error) { return filesIn(dir) }, dir)
}

// filesIn reads the files of a folder that the command line names.
func filesIn(dir string) (spec.Files, error) {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, cannotRead(dir, err)
	case !info.IsDir():
		return nil, usage("%s is not a folder", dir).
			WithHint("Name the folder of the specs; autobus spec diff --json-schema compares files.")
	}
	return spec.ReadDir(dir)
}

// readFile reads a file that the command line names; one that is not there is a fault of the command line.
func readFile(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, cannotRead(name, err)
	}
	return data, nil
}

func cannotRead(name string, err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return usage("%s cannot be read: %v", name, err).WithHint("Check that it exists and may be read.")
}
