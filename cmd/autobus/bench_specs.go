// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/bench"
)

func (a *app) newBenchSpecsCommand() *cobra.Command {
	var partitions []int
	cmd := &cobra.Command{
		Use:   "specs DIR",
		Short: "Write the specs of the bench's types",
		Long: "Write the specs of the types that a bench publishes into DIR/events/bench, for a gateway that is measured\n" +
			"by --url: beside its own specs, so that they come into force together.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage),
		Example: "  autobus bench specs ./specs\n  autobus bench specs ./specs --partitions 1,6,24",
		Args:    named("folder", "autobus bench specs ./specs", cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, n := range partitions {
				if n < 1 || n > maxPartitions {
					return usage("--partitions has %d", n).WithHint("Give numbers from 1 to %d.", maxPartitions)
				}
			}
			if err := writeBenchSpecs(args[0], partitions); err != nil {
				return err
			}
			for _, n := range partitions {
				for _, value := range []string{bench.JSON, bench.Opaque} {
					fmt.Fprintln(a.out, filepath.Join(args[0], benchSpecFile(value, n)))
				}
			}
			return nil
		},
	}
	cmd.Flags().IntSliceVar(&partitions, "partitions", []int{6}, "partition counts, a type for each")
	return cmd
}

func benchSpecFile(value string, partitions int) string {
	return filepath.Join("events", "bench", fmt.Sprintf("%s.p%d.v1.yaml", value, partitions))
}

func writeBenchSpecs(dir string, partitions []int) error {
	for _, n := range partitions {
		for _, value := range []string{bench.JSON, bench.Opaque} {
			file := filepath.Join(dir, benchSpecFile(value, n))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, bench.Spec(value, n), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
