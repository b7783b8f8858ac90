// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/spec"
)

func (a *app) newSpecExportCommand() *cobra.Command {
	var dir, domain string
	cmd := &cobra.Command{
		Use:   "export asyncapi|jsonschema [TYPE...]",
		Short: "Write specs in one piece, for other tools",
		Long: "Write the types named, or all of them, so that nothing refers to another file: asyncapi is one document\n" +
			"with all of them (YAML; under -o json JSON), jsonschema the schema of one type's data, draft-07.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus spec export asyncapi --domain orders > orders.yaml\n" +
			"  autobus spec export jsonschema orders.order.placed.v1 > order.json",
		Args: named("form", "autobus spec export asyncapi", cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.exportSpecs(specsFolder(dir), domain, args[0], args[1:])
		},
	}
	specsFlag(cmd, &dir)
	cmd.Flags().StringVar(&domain, "domain", "", "only types whose name begins with this")
	return cmd
}

func (a *app) exportSpecs(dir, domain, form string, names []string) error {
	if form != "asyncapi" && form != "jsonschema" {
		return usage("there is no form %s", form).WithHint("Use asyncapi or jsonschema.")
	}
	snapshot, err := specsIn(dir)
	if err != nil {
		return err
	}
	var types []*spec.Type
	for _, t := range snapshot.Types() {
		wanted := len(names) == 0 || slices.Contains(names, t.Name)
		if wanted && (domain == "" || strings.HasPrefix(t.Name, domain+".")) {
			types = append(types, t)
		}
	}
	for _, name := range names {
		if _, ok := snapshot.Type(name); !ok {
			return unknownType(snapshot, name)
		}
	}
	var doc []byte
	switch {
	case len(types) == 0:
		return usage("no type is to be exported").WithHint("autobus spec list shows the types.")
	case form == "jsonschema" && len(types) > 1:
		return usage("%d types have more than one schema", len(types)).
			WithHint("Name one: autobus spec export jsonschema %s", types[0].Name)
	case form == "jsonschema":
		doc, err = types[0].ExportJSONSchema()
	default:
		title := domain
		if title == "" {
			title = "events"
		}
		doc, err = spec.ExportAsyncAPI(types, title, a.output == "json")
	}
	if err != nil {
		return err
	}
	_, err = a.out.Write(doc)
	return err
}
