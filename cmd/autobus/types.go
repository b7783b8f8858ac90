// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
)

func (a *app) newTypesCommand() *cobra.Command {
	return group("types", "Look at event types", "  autobus types list\n  autobus types show orders.order.placed.v1",
		a.newTypesListCommand(), a.newTypesShowCommand(), a.newTypesDriftCommand())
}

// typeInfo is what the commands show of a type; -o json shows all there is.
type typeInfo struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Owner       string            `json:"owner"`
	Kind        string            `json:"kind"`
	Lifecycle   string            `json:"lifecycle"`
	Key         string            `json:"key"`
	Unspecified bool              `json:"unspecified"`
	Partitions  int32             `json:"partitions"`
	Durability  durability        `json:"durability"`
	Examples    []json.RawMessage `json:"examples"`
	Example     json.RawMessage   `json:"example"`
	Schema      json.RawMessage   `json:"schema"`
}

// durability is what the bus promises of a type's events.
type durability struct {
	BestEffort bool `json:"best_effort"`
	Copies     int  `json:"copies"` // 0 = the bus does not say
}

func (d durability) String() string {
	switch {
	case !d.BestEffort:
		return "asked for: every in-sync replica, at least 2 of 3 (GET /v1/status tells if the topic is weaker)"
	case d.Copies > 0:
		return fmt.Sprintf("best effort (copies: %d)", d.Copies)
	default:
		return "best effort"
	}
}

func (a *app) newTypesListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the types that the bus knows",
		Long:    "List the types that the bus knows.\n\n" + exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus types list\n  autobus types list -o ndjson | jq -r .name",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := a.getDoc(cmd.Context(), "/v1/types")
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.emit(doc)
			}
			var answer struct{ Types []json.RawMessage }
			if err := json.Unmarshal(doc, &answer); err != nil {
				return fmt.Errorf("the answer cannot be read: %w", err)
			}
			var rows [][]string
			for _, raw := range answer.Types {
				if a.output == "ndjson" {
					if err := a.emit(raw); err != nil {
						return err
					}
					continue
				}
				var t typeInfo
				if err := json.Unmarshal(raw, &t); err != nil {
					return fmt.Errorf("the answer cannot be read: %w", err)
				}
				version := t.Version
				if t.Unspecified {
					version = "no spec"
				}
				rows = append(rows, []string{t.Name, version, t.Kind, t.Owner, t.Lifecycle, fmt.Sprint(t.Partitions)})
			}
			if a.output == "table" {
				a.table([]string{"type", "version", "kind", "owner", "lifecycle", "partitions"}, rows)
			}
			return nil
		},
	}
}

func (a *app) newTypesShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show TYPE",
		Short: "Show one type: its spec, its route, an example",
		Long: "Show one type: its spec, its route, an example. Under -o json: {\"type\": ..., \"route\": ...}.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example:           "  autobus types show orders.order.placed.v1\n  autobus types show demo.order.placed.v1 -o json",
		Args:              named("type", "autobus types show orders.order.placed.v1", cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeTypes,
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/v1/types/" + url.PathEscape(args[0])
			doc, err := a.getDoc(cmd.Context(), path)
			if err != nil {
				return err
			}
			route, err := a.getDoc(cmd.Context(), path+"/route")
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.emitValue(map[string]json.RawMessage{"type": doc, "route": route})
			}
			return a.showType(args[0], doc, route)
		},
	}
}

func (a *app) showType(name string, doc, route []byte) error {
	var t typeInfo
	var r struct {
		Cluster    string `json:"cluster"`
		Topic      string `json:"topic"`
		Partitions int32  `json:"partitions"`
		Order      string `json:"order"`
		Hash       string `json:"hash"`
		Epoch      int64  `json:"epoch"`
	}
	if err := json.Unmarshal(doc, &t); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	if err := json.Unmarshal(route, &r); err != nil {
		return fmt.Errorf("the route cannot be read: %w", err)
	}
	var rows [][]string
	for _, row := range [][2]string{
		{"type", name}, {"version", t.Version}, {"title", t.Title}, {"description", t.Description}, {"owner", t.Owner},
		{"kind", t.Kind}, {"lifecycle", t.Lifecycle}, {"key", t.Key}, {"cluster", r.Cluster}, {"topic", r.Topic},
		{"partitions", fmt.Sprintf("%d (%s)", r.Partitions, r.Hash)}, {"order", r.Order},
		{"epoch", fmt.Sprint(r.Epoch)}, {"durability", t.Durability.String()},
	} {
		if row[1] != "" {
			rows = append(rows, []string{row[0], row[1]})
		}
	}
	a.table([]string{"field", "value"}, rows)
	if example := t.example(); example != nil {
		fmt.Fprintf(a.out, "example: %s\n", example)
	}
	return nil
}

func (t *typeInfo) example() json.RawMessage {
	if len(t.Example) > 0 {
		return t.Example
	}
	if len(t.Examples) > 0 {
		return t.Examples[0]
	}
	return nil
}

func (a *app) getDoc(ctx context.Context, path string) ([]byte, error) {
	c, err := a.api()
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.get(ctx, path, a.timeout)
}

// example asks for data that the type accepts.
func (c *api) example(ctx context.Context, name string, timeout time.Duration) ([]byte, error) {
	doc, err := c.get(ctx, "/v1/types/"+url.PathEscape(name), timeout)
	if err != nil {
		return nil, err
	}
	var t typeInfo
	if err := json.Unmarshal(doc, &t); err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	example := t.example()
	if example == nil {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "the spec of %s has no example", name).
			WithHint("Give the data with -d.")
	}
	return example, nil
}

// completeTypes offers the names of types to a shell. It stays silent when the bus does not answer at once.
func (a *app) completeTypes(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var answer struct{ Types []typeInfo }
	if !a.suggest(cmd, "/v1/types", &answer) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, t := range answer.Types {
		if strings.HasPrefix(t.Name, prefix) {
			out = append(out, t.Name+"\t"+t.Title)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
