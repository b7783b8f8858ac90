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
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cleanup() {
  [ -z "$bus" ] || kill -9 "$bus" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

arguments "$@"
build feed tally direct
prepare
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
rows | LC_ALL=C awk -f "$here/tally.awk" >"$work/file.txt"
flights=$(awk '$1 == "all" { print $2 }' "$work/file.txt")
"$work/tally" --server "$server" -n "$flights" >"$work/bus.txt"
"$work/direct" --brokers "$brokers" >"$work/kafka.txt"
stop_bus
cat "$work/file.txt"
for other in bus kafka; do
  diff -u "$work/file.txt" "$work/$other.txt" || fail "the table of the $other is not the file's"
done
say "all three tables are equal"
