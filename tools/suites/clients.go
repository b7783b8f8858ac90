// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os/exec"
	"path/filepath"
)

// clients brings the programs that test/clients needs, and gives the environment by which it finds them. What cannot be
// brought is told as skipped, and the tests of it skip themselves.
func (r *runner) clients(ctx context.Context) []string {
	dir, err := filepath.Abs(filepath.Join(".cache", "clients"))
	if err != nil {
		r.skip(clients, err.Error())
		return nil
	}
	for name, needs := range map[string]string{"python": "python3", "node": "npm"} {
		if _, err := exec.LookPath(needs); err != nil {
			r.skip(clients+" "+name, needs+" is not installed")
			continue
		}
		if _, err := command(ctx, nil, filepath.Join("tools", "clients.sh"), name, dir); err != nil {
			r.skip(clients+" "+name, err.Error())
		}
	}
	return []string{"AUTOBUS_TEST_CLIENTS=" + dir}
}
