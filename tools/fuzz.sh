#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# fuzz.sh TIME [PATTERN]: runs every fuzz target whose "package Target" matches PATTERN for TIME, one after the other, and
# prints for each how many inputs were executed, how many of them are its corpus, and how many of those are committed.
# An input that fails is left in the package's testdata/fuzz, to be committed with the fix. Ends with 1 if there is one.
set -uo pipefail
time=${1:?time of each target, such as 10m} pattern=${2:-.}
log=$(mktemp) failed=0
trap 'rm -f "$log"' EXIT
printf '%-52s %12s %8s %10s\n' target executions corpus committed
while IFS=: read -r file target; do
  pkg=./$(dirname "$file")
  grep -Eq -- "$pattern" <<<"$pkg $target" || continue
  if go test "$pkg" -run '^$' -fuzz "^$target\$" -fuzztime "$time" ${FUZZFLAGS:-} >"$log" 2>&1; then result=; else result=FAIL; failed=1; fi
  last=$(grep '^fuzz: elapsed' "$log" | tail -1)
  execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' <<<"$last")
  corpus=$(sed -n 's/.*(total: \([0-9]*\)).*/\1/p' <<<"$last")
  [ "${execs:-0}" -gt 0 ] || { result='FAIL: nothing was executed'; failed=1; }
  committed=$(git ls-files "$pkg/testdata/fuzz/$target" | wc -l)
  printf '%-52s %12s %8s %10s %s\n' "${pkg#./} $target" "${execs:-0}" "${corpus:-0}" "$committed" "$result"
  [ -z "$result" ] || sed 's/^/  /' "$log" | tail -20
done < <(git ls-files '*_test.go' | sort | xargs grep -oE '^func Fuzz[A-Za-z0-9]+' | sed 's/func //')
exit $failed
