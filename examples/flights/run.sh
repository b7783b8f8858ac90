#!/usr/bin/env bash
# Every flight of a file becomes an event; then the same table of flights, cancellations and minutes of delay is made
# from the bus, from the Kafka topics and from the file. The file is published three times, before and after a restart
# of the bus, and still every flight counts once. Needs go, awk and for a .zip file unzip.
#
#   run.sh [CSV]                             on the embedded broker of `autobus dev`, with its data in a new folder
#   run.sh --kafka BROKERS [--adopt] [CSV]   on a Kafka cluster, in front of which it runs `autobus serve`
#
# CSV is flights-2000.csv if none is named. The cluster must be one that may be played with: the specs in force become
# those of the flights, and the topics stay. Flights that other runs left there count, too, so always use the same file.
# --adopt prepares a cluster that already has topics named like event types.
set -euo pipefail

fail() { echo "run.sh: $*" >&2; exit 1; }
say() { printf '\n== %s\n' "$*"; }

brokers='' adopt=()
while [[ ${1:-} == --* ]]; do
  case $1 in
  --kafka) brokers=${2:?--kafka needs the addresses of brokers}; shift ;;
  --adopt) adopt=(--adopt) ;;
  *) sed -n '/^#   run.sh/s/^# *//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
csv=$(realpath "${1:-$here/flights-2000.csv}")
[ -f "$csv" ] || fail "$csv is not there"
cd "$here/../.."

work=$(mktemp -d)
bus='' # process id, while it runs
stop_bus() { # what it said stays in $work/log
  [ -n "$bus" ] || return 0
  kill "$bus" 2>/dev/null || true
  wait "$bus" || fail "the bus ended with status $?: $(tail -n 20 "$work/log")"
  bus=''
}
cleanup() {
  [ -z "$bus" ] || kill -9 "$bus" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

say "building"
go build -o "$work/" ./cmd/autobus ./examples/flights/feed ./examples/flights/tally ./examples/flights/direct
autobus=$work/autobus

# start_bus sets server and, for the embedded broker, brokers. Any free ports will do.
start_bus() {
  local deadline=$((SECONDS + 60)) ready
  : >"$work/out" 2>"$work/log"
  if [ -n "$config" ]; then
    "$autobus" serve --config "$config" >"$work/out" 2>"$work/log" &
    ready='s/.*"msg":"ready".*"listen":"\([^"]*\)".*/\1/p'
  else
    "$autobus" dev --no-demo --data "$work/data" --specs "$here/specs" --port 0 --kafka-port 0 \
      >"$work/out" 2>"$work/log" &
    ready='s|^ *API  *http://||p'
  fi
  bus=$!
  until server=$(sed -n "$ready" "$work/out" "$work/log") && [ -n "$server" ]; do
    kill -0 "$bus" 2>/dev/null || { bus=''; fail "the bus did not start: $(cat "$work/log")"; }
    ((SECONDS < deadline)) || fail "the bus was not ready within a minute: $(cat "$work/log")"
    sleep 0.1
  done
  server=http://$server
  [ -n "$config" ] || brokers=$(sed -n 's/^ *Kafka  *\([^ ]*\).*/\1/p' "$work/out")
  echo "the bus is at $server, Kafka at $brokers"
}

config=''
if [ -n "$brokers" ]; then
  config=$work/autobus.yaml
  cat >"$config" <<X
listen: 127.0.0.1:0
instance: flights
specs: $here/specs
kafka: {brokers: ["${brokers//,/\", \"}"]}
log: {level: info, format: json}
X
  say "preparing the cluster"
  "$autobus" cluster init --config "$config" --yes ${adopt[@]+"${adopt[@]}"}
  AUTOBUS_TOKEN=$("$autobus" token create --config "$config" --principal flights \
    --grant 'publish:flights.*' --grant 'subscribe:flights.*' -q)
  export AUTOBUS_TOKEN
fi

say "starting the bus"
start_bus
say "feeding $(basename "$csv")"
"$work/feed" --server "$server" "$csv"
say "feeding it again: the bus knows the ids"
"$work/feed" --server "$server" "$csv"
say "restarting the bus and feeding it once more: it has forgotten the ids, so they are in the log twice now"
stop_bus
start_bus
"$work/feed" --server "$server" "$csv"

say "counting the file, the bus and the topics"
case $csv in
*.zip) unzip -p "$csv" '*.csv' ;;
*) cat "$csv" ;;
esac | LC_ALL=C awk -f "$here/tally.awk" >"$work/file.txt"
flights=$(awk '$1 == "all" { print $2 }' "$work/file.txt")
"$work/tally" --server "$server" -n "$flights" >"$work/bus.txt"
"$work/direct" --brokers "$brokers" >"$work/kafka.txt"
stop_bus
cat "$work/file.txt"
for other in bus kafka; do
  diff -u "$work/file.txt" "$work/$other.txt" || fail "the table of the $other is not the file's"
done
say "all three tables are equal"
