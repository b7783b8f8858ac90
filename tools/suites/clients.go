// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"
)

// clients brings the programs that test/clients needs, and gives the environment by which it finds them. What cannot be
// brought is told as skipped, and the tests of it skip themselves.
func (r *runner) clients(ctx context.Context) (env []string) {
	python, missing, err := venv(ctx, filepath.Join(filepath.FromSlash(clients), "python", "requirements.txt"))
	switch {
	case err != nil:
		r.skip(clients+" python", err.Error())
	case missing != "":
		r.skip(clients+" python", missing)
	default:
		env = append(env, "AUTOBUS_TEST_PYTHON="+python)
	}
	parser, err := filepath.Abs(filepath.Join(".cache", "asyncapi"))
	if err == nil {
		_, err = command(ctx, nil, filepath.Join("tools", "asyncapi.sh"), parser)
	}
	if err != nil {
		r.skip(clients+" node", err.Error())
		return env
	}
	return append(env, "AUTOBUS_TEST_ASYNCAPI="+parser)
}
