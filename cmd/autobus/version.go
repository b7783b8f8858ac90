// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildInfo says which build runs. Everything comes from what the Go tool put into the binary, so nobody can forget
// to set it.
type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuildInfo() buildInfo {
	out := buildInfo{Version: "devel"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	out.Go = info.GoVersion
	if v := info.Main.Version; v != "" && v != "(devel)" {
		out.Version = v
	}
	var goos, goarch string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			out.Revision = s.Value
		case "vcs.modified":
			out.Modified = s.Value == "true"
		case "GOOS":
			goos = s.Value
		case "GOARCH":
			goarch = s.Value
		}
	}
	out.Platform = goos + "/" + goarch
	return out
}

func (a *app) newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which build this is",
		Long:    "Version, revision and Go version of this binary.\n\n" + exitCodes(exitOK, exitUsage),
		Example: "  autobus version\n  autobus version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := readBuildInfo()
			if a.output != "table" {
				return a.emitValue(info)
			}
			line := "autobus " + info.Version
			if info.Revision != "" {
				line += " (" + info.Revision[:min(12, len(info.Revision))]
				if info.Modified {
					line += ", modified"
				}
				line += ")"
			}
			_, err := fmt.Fprintf(a.out, "%s %s %s\n", line, info.Go, info.Platform)
			return err
		},
	}
}
