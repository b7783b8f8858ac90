// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// newCompletionCommand stands in for cobra's own, which takes a shell it does not know for a question about help.
func (a *app) newCompletionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	list := strings.Join(shells, ", ")
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that completes commands in a shell",
		Long: "Print the script that completes commands, flags and the names of types and subscriptions in a shell:\n" +
			list + ".\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage),
		Example: "  source <(autobus completion bash)\n" +
			"  autobus completion zsh > \"${fpath[1]}/_autobus\"\n" +
			"  autobus completion fish > ~/.config/fish/completions/autobus.fish",
		Args:      named("shell", "autobus completion bash", cobra.ExactArgs(1)),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(shells, args[0]) {
				return usage("there is no completion for %q", args[0]).WithHint("The shells are %s.", list)
			}
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			default:
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
		},
	}
}

// suggest asks the bus for what a shell is to offer, for a moment only.
func (a *app) suggest(cmd *cobra.Command, path string, v any) bool {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	c, err := a.api()
	if err != nil {
		return false
	}
	defer c.close()
	doc, err := c.get(ctx, path, 800*time.Millisecond)
	return err == nil && json.Unmarshal(doc, v) == nil
}
