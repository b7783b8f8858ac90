#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# asyncapi.sh DIR: brings AsyncAPI's own parser, of the version that test/clients names, from npm's registry into DIR. What
# is there already is left as it is. Needs node and npm.
set -euo pipefail
fail() { echo "asyncapi.sh: $*" >&2; exit 1; }
[ $# = 1 ] || fail "usage: asyncapi.sh DIR"
from=$(cd "$(dirname "$0")/../test/clients/asyncapi" && pwd) to=$1
cmp -s "$from/package-lock.json" "$to/made-from" && exit
command -v npm >/dev/null || fail "npm is needed"
rm -rf "$to"
mkdir -p "$to"
cp "$from/package.json" "$from/package-lock.json" "$to"
(cd "$to" && npm ci --ignore-scripts --no-audit --no-fund >&2) || fail "installing $from/package-lock.json failed"
# Last: a broken installation never looks like a whole one.
cp "$from/package-lock.json" "$to/made-from"
