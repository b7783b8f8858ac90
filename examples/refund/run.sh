#!/usr/bin/env bash
# Refunds go from BOB, the back offices of four countries, to Refund Tool, Payment and Fiscalization, while the services
# are killed, five times in all, and one refund has an id that Refund Tool has no room for. In the end the tables of all
# of them have to agree. Needs go.
#
#   run.sh                                     400 refunds and one
#   run.sh --short                             100 and one
#   run.sh [--short] --kafka BROKERS [--adopt] on a Kafka cluster of three brokers, in front of `autobus serve`
#
# Else it is on the embedded broker of `autobus dev`, with its data in a new folder. The cluster must be one that may be
# played with: the specs in force become those of examples/lamoda-specs, and the topics stay. --adopt prepares a cluster
# that already has topics named like event types.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap cleanup EXIT

each=100 rate=40 pace=100ms poison=RU-3000000000
closed=RU-1003,RU-1011,KZ-2003,KZ-2011,UA-3003,UA-3011,BY-4003,BY-4011
while [ $# -gt 0 ]; do
  case $1 in
  --short) each=25 rate=20 ;;
  --kafka) brokers=${2:?--kafka needs the addresses of brokers}; shift ;;
  --adopt) adopt=(--adopt) ;;
  *) usage ;;
  esac
  shift
done
all=$((4 * each + 1))

build
prepare
say "starting the bus, and seven services with a database each"
start_bus
services=(bob-ru bob-kz bob-ua bob-by refund-tool payment fiscalization)
for name in "${services[@]}"; do start "$name"; done

say "$all refunds, five deaths"
"$work/shop" -n "$each" -rate "$rate" "$poison" ru="http://${urls[bob-ru]}" kz="http://${urls[bob-kz]}" \
  ua="http://${urls[bob-ua]}" by="http://${urls[bob-by]}" 2>"$work/shop.log" &
pids[shop]=$!
victims=("${services[RANDOM % 4]}" refund-tool payment fiscalization "${services[RANDOM % 7]}")
mapfile -t victims < <(shuf -e "${victims[@]}")
for n in "${!victims[@]}"; do
  victim=${victims[$n]}
  tables await $((all * (10 + 15 * n + RANDOM % 10) / 100)) # of five deaths, so that each hits something
  killed "$victim"
  ended=$(tables ended)
  ((ended < all - 1)) || fail "all refunds were at their end when $victim was killed: that proves nothing"
  echo "$victim is killed; $ended refunds are at their end, $(tables left) events wait in outboxes"
  start "$victim"
done
wait "${pids[shop]}" || fail "the shop ended with status $?: $(cat "$work/shop.log")"
unset "pids[shop]"
tables await $((all - 1))

say "all are at their end but one, whose id is beyond INT. Nobody was stopped for it, and it is here"
await "the refund did not become a dead letter" dead
[ "$(letters | wc -l)" = 1 ] || fail "one dead letter was to be: $(letters)"
"$work/autobus" dlq list refund-tool

say "making room for it in the table, redriving the letter"
"$work/refund-tool" -db "$work/refund-tool.db" -widen
"$work/autobus" dlq redrive refund-tool --all --yes --reason 'refunds.id is BIGINT now'
tables await "$all"

say "comparing"
await "events are left in outboxes" told
await "events are left in the bus" handled
tables ${since[@]+"${since[@]}"} -refunds "$all" -rejected 8 -once "$poison" compare
for name in "${services[@]}"; do stop "$name"; done
stop bus
say "$all refunds, ${#victims[@]} deaths: all tables agree, and so does the log"
