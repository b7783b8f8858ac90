#!/usr/bin/env bash
# Eight workers share a subscription and tally the flights: first undisturbed, then with one of them killed every second,
# then with the bus itself killed ten times. Killed is kill -9. Each time the table of what the workers wrote has to be
# that of the file. Needs go, awk, curl and for a .zip file unzip.
#
#   consume.sh [CSV]                             on the embedded broker of `autobus dev`, with its data in a new folder
#   consume.sh --kafka BROKERS [--adopt] [CSV]   on a Kafka cluster, in front of which it runs `autobus serve`
#
# Each round reads all flights by a subscription of its own. About the cluster and --adopt see run.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

count=8 kills=10
declare -A workers=() # number -> process id

cleanup() {
  for pid in "$bus" ${workers[@]+"${workers[@]}"}; do
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

api() { # METHOD PATH [BODY]
  curl -sS --fail-with-body -X "$1" "$server/v1/subscriptions/$name$2" ${3:+-d "$3"} \
    ${AUTOBUS_TOKEN:+-H "authorization: Bearer $AUTOBUS_TOKEN"}
}

start_worker() { # NUMBER
  "$work/work" --server "$server" --subscription "$name" --pace "$pace" --out "$dir/$1.ndjson" 2>>"$dir/log" &
  workers[$1]=$!
}

# gone waits for a process that was killed and reports how it ended.
gone() { # PID
  local status=0
  wait "$1" 2>/dev/null || status=$?
  [ "$status" = 137 ] || fail "process $1 was to die of SIGKILL, its status is $status"
}

undone() { api GET /lag | sed -n 's/^  "undone": \([0-9]*\).*/\1/p'; }

# round NAME PACE DISTURB runs one round; DISTURB is called once a second while there is work.
round() {
  local disturb=$3 deadline=$((SECONDS + 400)) left again
  name=flights-$1-$$ pace=$2 dir=$work/$1 hits=0 settled=1000000000
  mkdir "$dir"
  api PUT '' '{"types": ["flights.*"], "start": "earliest", "window": {"events": 20}, "ack_wait": "10s",
    "retry": {"backoff": ["100ms"], "max_attempts": 14}}' >/dev/null
  for n in $(seq $count); do start_worker "$n"; done
  while left=$(undone) && [ "$left" != 0 ]; do
    ((SECONDS < deadline)) || fail "$left flights are still not done: $(tail -n 5 "$dir/log" "$work/log")"
    sleep 1
    $disturb
  done
  for n in $(seq $count); do
    kill "${workers[$n]}"
    wait "${workers[$n]}" || fail "worker $n ended with status $?: $(tail -n 5 "$dir/log")"
    unset "workers[$n]"
  done
  "$work/sum" "$dir"/*.ndjson >"$dir/table.txt" 2>"$dir/sum"
  again=$(cat "$dir/sum")
  diff -u "$work/file.txt" "$dir/table.txt" || fail "the table of the workers is not the file's: $again"
  echo "$again; $hits kills; the table is the file's"
}

nothing() { :; }

kill_worker() {
  local n=$((RANDOM % count + 1))
  kill -9 "${workers[$n]}"
  gone "${workers[$n]}"
  start_worker "$n"
  hits=$((hits + 1))
}

kill_bus() {
  # Not before work was done since the last kill: only then there is something to lose.
  ((hits < kills && left < settled)) || return 0
  settled=$left
  kill -9 "$bus"
  gone "$bus"
  start_bus >/dev/null
  hits=$((hits + 1))
}

arguments "$@"
build feed work sum
prepare
say "starting the bus and feeding $(basename "$csv")"
start_bus
"$work/feed" --server "$server" "$csv"
rows | LC_ALL=C awk -f "$here/tally.awk" >"$work/file.txt"

say "$count workers"
round quiet 0s nothing
say "$count workers, one of them killed every second"
round killed-workers 40ms kill_worker
((hits >= 5)) || fail "only $hits workers were killed: that proves nothing"
say "$count workers, the bus killed $kills times"
round killed-bus 100ms kill_bus
((hits == kills)) || fail "the bus was killed $hits times, not $kills: that proves nothing"
stop_bus
cat "$work/file.txt"
say "all tables are equal"
