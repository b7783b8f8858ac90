// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/spec"
)

// specInfo is what the commands show of a type in a folder of specs.
type specInfo struct {
	Name          string   `json:"name"`
	Version       string   `json:"version"`
	Kind          string   `json:"kind"`
	Owner         string   `json:"owner"`
	Lifecycle     string   `json:"lifecycle"`
	Compatibility string   `json:"compatibility"`
	Description   string   `json:"description"`
	Key           string   `json:"key"`        // JSON pointer, "" = none
	Partitions    int32    `json:"partitions"` // 0 = the spec is silent
	File          string   `json:"file"`
	Line          int      `json:"line"`
	Readers       []string `json:"readers"` // subscriptions
}

func (a *app) newSpecListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list [DIR]",
		Short: "List the types of a spec repository",
		Long: "List the types that the specs in DIR declare, by default specs if it is there, else this folder, and how\n" +
			"many subscriptions each has. What a running bus knows is listed by autobus types list.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus spec list specs\n  autobus spec list -o ndjson | jq -r .name",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			snapshot, err := specsIn(folderOf(args))
			if err != nil {
				return err
			}
			return a.listSpecs(snapshot)
		},
	}
}

func (a *app) listSpecs(snapshot *spec.Snapshot) error {
	infos := []specInfo{}
	var rows [][]string
	for _, t := range snapshot.Types() {
		info := infoOf(snapshot, t)
		infos = append(infos, info)
		rows = append(rows, []string{info.Name, info.Version, info.Kind, info.Owner, info.Lifecycle,
			fmt.Sprint(len(info.Readers)), info.File})
		if a.output == "ndjson" {
			if err := a.emitValue(info); err != nil {
				return err
			}
		}
	}
	switch a.output {
	case "json":
		return a.emitValue(map[string]any{"types": infos})
	case "table":
		a.table([]string{"type", "version", "kind", "owner", "lifecycle", "readers", "file"}, rows)
	}
	return nil
}

func infoOf(snapshot *spec.Snapshot, t *spec.Type) specInfo {
	info := specInfo{Name: t.Name, Version: t.Version, Kind: t.Kind, Owner: t.Owner, Lifecycle: t.Lifecycle,
		Compatibility: string(t.Compatibility), Description: t.Description, Key: t.KeyPointer, Partitions: t.Partitions,
		File: t.File, Line: t.Line, Readers: []string{}}
	for _, s := range snapshot.Subscriptions() {
		if slices.Contains(s.Policy.Types, t.Name) {
			info.Readers = append(info.Readers, s.Name)
		}
	}
	return info
}

func (a *app) newSpecShowCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "show TYPE",
		Short: "Show one type of a spec repository",
		Long: "Show what the specs say of one type: whose it is, who reads it, each field with the type of a SQL column\n" +
			"that holds whatever the spec allows, and an example of its data. Under -o json: {\"type\", \"fields\":\n" +
			"[{\"pointer\", \"types\", \"format\", \"sql\", \"required\"}], \"schema\", \"example\"}.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus spec show orders.order.placed.v1 --specs specs",
		Args:    named("type", "autobus spec show orders.order.placed.v1", cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			snapshot, t, err := knownType(specsFolder(dir), args[0])
			if err != nil {
				return err
			}
			return a.showSpec(infoOf(snapshot, t), t)
		},
	}
	specsFlag(cmd, &dir)
	return cmd
}

func (a *app) showSpec(info specInfo, t *spec.Type) error {
	example, made := t.Example()
	fields := []sink.Field{}
	if t.ContentType == "" {
		var err error
		if fields, err = sink.Fields(t.Schema); err != nil {
			return unreadable("the schema of "+t.Name, err)
		}
	}
	if a.output != "table" {
		doc := map[string]any{"type": info, "fields": fields, "schema": t.Schema}
		if made {
			doc["example"] = example
		}
		return a.emitValue(doc)
	}
	var rows [][]string
	for _, row := range [][2]string{
		{"type", info.Name}, {"version", info.Version}, {"kind", info.Kind}, {"description", info.Description},
		{"owner", info.Owner}, {"lifecycle", info.Lifecycle}, {"compatibility", info.Compatibility}, {"key", info.Key},
		{"partitions", fmt.Sprint(info.Partitions)}, {"readers", strings.Join(info.Readers, ", ")},
		{"file", fmt.Sprintf("%s:%d", info.File, info.Line)},
	} {
		if row[1] != "" && row[1] != "0" {
			rows = append(rows, []string{row[0], row[1]})
		}
	}
	a.table([]string{"field", "value"}, rows)
	rows = nil
	for _, f := range fields {
		said := strings.Join(f.Types, ", ")
		if f.Format != "" {
			said += " (" + f.Format + ")"
		}
		must := ""
		if f.Required {
			must = "yes"
		}
		rows = append(rows, []string{f.Pointer, said, f.SQL, must})
	}
	if len(rows) > 0 {
		a.table([]string{"data", "type", "sql", "required"}, rows)
	}
	if made {
		fmt.Fprintf(a.out, "example: %s\n", example)
	}
	return nil
}
