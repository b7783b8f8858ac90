// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// specImport is the command that takes over a foreign schema.
type specImport struct {
	*app
	spec.ImportOptions
	out string
}

func (a *app) newSpecImportCommand() *cobra.Command {
	i := &specImport{app: a}
	cmd := &cobra.Command{
		Use:   "import jsonschema FILE",
		Short: "Make a spec of a JSON Schema from elsewhere",
		Long: "Take over a JSON Schema, draft 4 to 2020-12, as it is: with what it refers to, in one file of the spec\n" +
			"repository at --out, which is begun if it is not there. Writers are open, formats are not asserted, and\n" +
			"rules that the schema does not follow are waived in the file, by name. Files that it refers to are read\n" +
			"where they are, the network is not. A pattern that only other engines know is left out and told.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus spec import jsonschema order.json --type orders.order.placed.v1 --owner team-a --out specs\n" +
			"  autobus spec import jsonschema api.json --pointer /definitions/Order --type orders.order.placed.v1 \\\n" +
			"      --owner team-a --key /id --out specs",
		Args: named("form and file", "autobus spec import jsonschema order.json --type a.b.made.v1 --owner team-a --out x",
			cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error { return i.run(args[0], args[1]) },
	}
	f := cmd.Flags()
	f.StringVar(&i.Type, "type", "", "the event type that it becomes")
	f.StringVar(&i.Owner, "owner", "", "the team that answers for it")
	f.StringVar(&i.out, "out", "", "folder of the specs")
	f.StringVar(&i.Pointer, "pointer", "", "JSON pointer to the schema in FILE (default the whole file)")
	f.StringVar(&i.Key, "key", "", "JSON pointer to the partition key in the data (default none)")
	return cmd
}

func (i *specImport) run(form, file string) error {
	switch {
	case form != "jsonschema":
		return usage("there is no form %s", form).WithHint("Use jsonschema.")
	case i.Type == "" || i.Owner == "" || i.out == "":
		return usage("--type, --owner and --out are needed").
			WithHint("Add --type orders.order.placed.v1 --owner team-checkout --out specs.")
	case !autobus.ValidType(i.Type):
		return usage("%s is not a legal event type", i.Type).WithHint("%s", autobus.ReasonTypeInvalid.Info().Hint)
	case !teamName.MatchString(i.Owner):
		return usage("--owner is %q", i.Owner).WithHint("Name a team in small letters, such as team-checkout.")
	}
	if _, err := readFile(file); err != nil {
		return err
	}
	files, err := i.repository()
	if err != nil {
		return err
	}
	root, name := importRoot(file)
	done, err := spec.ImportSchema(files, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	}, name, i.ImportOptions)
	if problems, ok := errors.AsType[spec.Problems](err); ok {
		return autobus.NewError(autobus.ReasonSpecInvalid, "the schema cannot be a spec as it is:\n%s", problems).
			WithHint("%s", problems[0].Hint).WithCause(err)
	}
	if err != nil {
		return err
	}
	return i.write(files, done)
}

// repository reads what is in --out; a folder that is not there is an empty one.
func (i *specImport) repository() (spec.Files, error) {
	files := spec.Files{}
	if _, err := os.Stat(i.out); err == nil {
		if files, err = filesIn(i.out); err != nil {
			return nil, err
		}
	}
	if files["teams.yaml"] == nil {
		files["teams.yaml"] = fmt.Appendf(nil, "teams:\n  %s: {}\n", i.Owner)
	}
	return files, nil
}

func (i *specImport) write(files spec.Files, done *spec.Import) error {
	if _, err := os.Stat(filepath.Join(i.out, "teams.yaml")); errors.Is(err, os.ErrNotExist) {
		if err := create(i.out, "teams.yaml", files["teams.yaml"]); err != nil {
			return err
		}
	}
	if err := create(i.out, done.File, done.Content); err != nil {
		return err
	}
	fmt.Fprintln(i.app.out, filepath.Join(i.out, filepath.FromSlash(done.File)))
	for _, left := range done.Left {
		i.note("Left out, because no pattern here can say it: %s", left)
	}
	if len(done.Waived) > 0 {
		i.note("Waived in x-lint-ignore: %s", strings.Join(done.Waived, ", "))
	}
	return nil
}

// importRoot is the folder that references may not leave, and the file's name in it: this folder, if the file is below.
func importRoot(file string) (root, name string) {
	if filepath.IsLocal(file) {
		return ".", filepath.ToSlash(filepath.Clean(file))
	}
	return filepath.Dir(file), filepath.Base(file)
}
