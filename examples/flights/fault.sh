#!/usr/bin/env bash
# Two gateways serve one subscription; in the middle of feeding and of the work a broker is killed and, while appends
# wait for its successor, one of the gateways. Killed is kill -9. In the end four tables have to be equal: of the file, of
# what the workers wrote, of the bus and of the topics. Needs go, awk, curl and a cluster of tools/kafka.sh.
#
#   fault.sh --cluster DATA [--adopt] [CSV]    DATA is the folder that was given to tools/kafka.sh
#
# The gateway is started again where it was, and so is the broker. About the cluster and --adopt see run.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

count=8 broker=1 feeding='' name=flights-fault-$$
declare -A gateways=() ports=() workers=() # process ids and ports

cleanup() {
  for pid in $feeding ${gateways[@]+"${gateways[@]}"} ${workers[@]+"${workers[@]}"}; do
    kill -9 "$pid" 2>/dev/null || true
  done
  start_broker
  wait 2>/dev/null || true
  rm -rf "$work"
}

start_broker() { # unless it runs
  [ -n "$broker_dir" ] && ! kill -0 "$(cat "$broker_dir/pid")" 2>/dev/null || return 0
  $(command -v setsid || true) "$broker_dir/run" &
  disown
}

start_gateway() { # NAME; the second time at the same port
  local deadline=$((SECONDS + 60)) at
  : >"$work/$1.log"
  AUTOBUS_INSTANCE=flights-$1 AUTOBUS_LISTEN=127.0.0.1:${ports[$1]:-0} AUTOBUS_PEER_SECRET_FILE=$work/peers \
    "$autobus" serve --config "$config" >"$work/$1.log" 2>&1 &
  gateways[$1]=$!
  until at=$(sed -n 's/.*"msg":"ready".*"listen":"\([^"]*\)".*/\1/p' "$work/$1.log") && [ -n "$at" ]; do
    kill -0 "${gateways[$1]}" 2>/dev/null || fail "gateway $1 did not start: $(cat "$work/$1.log")"
    ((SECONDS < deadline)) || fail "gateway $1 was not ready within a minute: $(cat "$work/$1.log")"
    sleep 0.1
  done
  ports[$1]=${at##*:}
}

url() { echo "http://127.0.0.1:${ports[$1]}"; } # of gateway NAME

api() { # METHOD PATH [BODY], at the gateway that is not killed
  curl -sS --fail-with-body -X "$1" "$(url b)/v1/subscriptions/$name$2" ${3:+-d "$3"} \
    -H "authorization: Bearer $AUTOBUS_TOKEN"
}

undone() { api GET /lag 2>/dev/null | sed -n 's/^  "undone": \([0-9]*\).*/\1/p' || true; }

worked() { "$work/sum" "$work"/*.ndjson 2>&1 >/dev/null | sed -n 's/.* \([0-9]*\) different flights.*/\1/p'; }

await() { # SECONDS WHAT COMMAND...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || fail "waited in vain for $what: $(tail -n 5 "$work"/*.log)"
    sleep 0.2
  done
}

killed() { # PID: kills it, and sees it dead
  kill -9 "$1"
  await 30 "the end of process $1" dead "$1"
}

dead() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:\sZ' "/proc/$1/status" 2>/dev/null; }
below() { local n; n=$(undone); [ -n "$n" ] && ((n > 0 && n < $1)); } # some are done, some are not
finished() { [ "$(undone)" = 0 ]; }

broker_dir=''
[ "${1:-}" = --cluster ] && [ -n "${2:-}" ] || usage
cluster=$(cd "$OLDPWD" && realpath "$2")
shift 2
broker_dir=$cluster/n$broker
trap cleanup EXIT
arguments --kafka "$(cat "$cluster/bootstrap")" "$@"
build feed work sum tally direct
prepare
head -c 32 /dev/urandom | base64 >"$work/peers"
rows >"$work/all.csv"
total=$(($(wc -l <"$work/all.csv") - 1)) half=$(($(wc -l <"$work/all.csv") / 2))
head -n $((half + 1)) "$work/all.csv" >"$work/first.csv"
{ head -n 1 "$work/all.csv"; tail -n +$((half + 2)) "$work/all.csv"; } >"$work/second.csv"

say "two gateways, $count workers; feeding the first half"
start_gateway a
start_gateway b
push_specs "$(url a)"
api PUT '' '{"types": ["flights.*"], "start": "earliest", "window": {"events": 20}, "ack_wait": "10s",
  "retry": {"backoff": ["100ms"], "max_attempts": 14}}' >/dev/null
for n in $(seq $count); do
  at=a; ((n % 2)) || at=b
  "$work/work" --server "$(url $at)" --subscription "$name" --pace 50ms --out "$work/$n.ndjson" 2>>"$work/work.log" &
  workers[$n]=$!
done
"$work/feed" --server "$(url a)" "$work/first.csv"
await 60 "work that is done" below $((half * 9 / 10))

say "killing broker $broker, feeding the second half, killing the gateway that it is fed through"
killed "$(cat "$broker_dir/pid")"
"$work/feed" --server "$(url a)" "$work/second.csv" >"$work/fed" 2>"$work/feed.log" &
feeding=$!
sleep 2 # the brokers miss the dead one only after 9 s: what its partitions were sent is in flight
kill -0 "$feeding" 2>/dev/null || fail "the feed is over: the kills did not hit in the middle"
killed "${gateways[a]}"
left=$((total - $(worked))) # what the workers say; the bus may not know while a broker is dead
((left > 0)) || fail "the work is over: the kills did not hit in the middle"
echo "broker $broker and gateway a are dead, the feed waits, $left flights are not done"
start_gateway a
wait "$feeding" || fail "the feed ended with status $?: $(cat "$work/feed.log")"
feeding=''
cat "$work/fed"
await 120 "the end of the work" finished
dead "$(cat "$broker_dir/pid")" || fail "broker $broker lives: it was not dead in the middle"
start_broker

say "counting"
for n in $(seq $count); do
  kill "${workers[$n]}"
  wait "${workers[$n]}" || fail "worker $n ended with status $?: $(tail -n 5 "$work/work.log")"
  unset "workers[$n]"
done
LC_ALL=C awk -f "$here/tally.awk" "$work/all.csv" >"$work/file.txt"
"$work/sum" "$work"/*.ndjson >"$work/workers.txt"
"$work/tally" --server "$(url b)" -n "$total" >"$work/bus.txt"
"$work/direct" --brokers "$brokers" >"$work/kafka.txt"
cat "$work/file.txt"
for other in workers bus kafka; do
  diff -u "$work/file.txt" "$work/$other.txt" || fail "the table of the $other is not the file's"
done
say "all four tables are equal"
