#!/usr/bin/env bash
# Brings the other projects' clients that test/clients holds the bus against, from their package registries, into DIR:
#
#   clients.sh python DIR    a virtual environment with Confluent's client for Kafka, in DIR/python
#   clients.sh node   DIR    AsyncAPI's parser, in DIR/node
#
# What is there already, of the versions that test/clients names, is left as it is. Needs python3 with venv and pip, or
# node and npm.
set -euo pipefail

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
fail() { echo "clients.sh: $*" >&2; exit 1; }
[ $# = 2 ] || usage
from=$(cd "$(dirname "$0")/../test/clients" && pwd)
mkdir -p "$2"
to=$(cd "$2" && pwd)/$1

# current tells whether the folder was made from this very list of packages.
current() { cmp -s "$1" "$to/made-from"; }

case $1 in
python)
  list=$from/python/requirements.txt
  current "$list" && exit
  command -v python3 >/dev/null || fail "python3 is needed"
  rm -rf "$to"
  python3 -m venv "$to" >&2 || fail "python3 cannot make a virtual environment (Debian: python3-venv)"
  "$to/bin/pip" install -q --disable-pip-version-check -r "$list" >&2 || fail "installing $list failed"
  ;;
node)
  list=$from/asyncapi/package-lock.json
  current "$list" && exit
  command -v npm >/dev/null || fail "npm is needed"
  rm -rf "$to"
  mkdir -p "$to"
  cp "$from/asyncapi/package.json" "$list" "$to"
  (cd "$to" && npm ci --ignore-scripts --no-audit --no-fund >&2) || fail "installing $list failed"
  ;;
*) usage ;;
esac
# Last: a broken installation never looks like a whole one.
cp "$list" "$to/made-from"
