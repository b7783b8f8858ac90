// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/spec"
)

var teamName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func (a *app) newSpecInitCommand() *cobra.Command {
	var team string
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Begin a spec repository",
		Long: "Write what a spec repository begins with into DIR, by default this folder: teams.yaml, what all specs\n" +
			"refer to, a workflow that lints every change, and for editors the schema of AsyncAPI with the settings\n" +
			"that find it. No file that is there is changed.\n\n" + exitCodes(exitOK, exitFailed, exitUsage),
		Example: "  autobus spec init specs --team team-checkout",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !teamName.MatchString(team) {
				return usage("--team is %q", team).WithHint("Name a team in small letters, such as team-checkout.")
			}
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return a.initSpecs(dir, team)
		},
	}
	cmd.Flags().StringVar(&team, "team", "team-platform", "the first team of teams.yaml")
	return cmd
}

func (a *app) initSpecs(dir, team string) error {
	schema, err := spec.AsyncAPISchema()
	if err != nil {
		return err
	}
	files := []struct {
		name string
		data []byte
		from string
	}{
		{name: "teams.yaml", data: fmt.Appendf(nil, "# Who owns types and services; x-owner names one of them.\n"+
			"teams:\n  %s: {}\n", team)},
		{name: "common/cloudevent.yaml", from: "cloudevent.yaml"},
		{name: "common/jsonrpc.yaml", from: "jsonrpc.yaml"},
		{name: "README.md", from: "README.md"},
		{name: ".github/workflows/specs.yaml", from: "workflow.yaml"},
		{name: ".vscode/settings.json", from: "settings.json"},
		{name: ".schema/asyncapi-3.1.0.json", data: schema},
	}
	for _, f := range files {
		if f.from != "" {
			if f.data, err = scaffold.ReadFile("scaffold/" + f.from); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, filepath.FromSlash(f.name))
		if _, err := os.Lstat(path); err == nil {
			a.note("%s is there already and stays as it is.", path)
			continue
		}
		if err := create(dir, f.name, f.data); err != nil {
			return err
		}
		fmt.Fprintln(a.out, path)
	}
	a.note("Next: autobus spec new orders.order.placed.v1 --specs %s", dir)
	return nil
}
