#!/usr/bin/env bash
# The story of two HTTP services that move onto the bus: story/__main__.py tells it. Needs go, git and Python 3.10 or
# newer with venv, of which it makes an environment below .cache once.
#
#   run.sh           with the server away for 30 s, and 200 calls a second
#   run.sh --short   with less of everything
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

case ${1:-} in
'' | --short) ;;
*) sed -n 's/^#   \(run\.sh\)/\1/p' "$here/run.sh" >&2; exit 2 ;;
esac

python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
  { echo "run.sh: needs Python 3.10 or newer with venv" >&2; exit 1; }
# Named by what is in it, as the environments of tools/suites are.
venv=$root/.cache/python/$(sha256sum "$here/requirements.txt" | cut -c 1-12)
if [ ! -e "$venv/whole" ]; then
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" ||
    { echo "run.sh: needs Python's packages of requirements.txt, which cannot be installed" >&2; exit 1; }
  touch "$venv/whole"
fi

work=$(mktemp -d)
story=''
end() {
  [ -z "$story" ] || { kill "$story" && wait "$story"; } 2>/dev/null || true # it ends what it started
  rm -rf "$work"
}
trap end EXIT
trap 'exit 1' TERM INT
printf '== building\n'
go build -C "$root" -o "$work/autobus" ./cmd/autobus
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/sdk/python/src:$here
"$venv/bin/python" -m story --bin "$work/autobus" --work "$work" "$@" &
story=$!
wait "$story" && status=0 || status=$?
story=''
exit "$status"
