#!/usr/bin/env bash
# The story of a report that moves out of the main database, told twice by the same traffic: before, when merchants'
# reports are queries of the main database, and after, when a sink keeps a table of their own. Needs go and, but for
# --sqlite, PostgreSQL 15 or newer, of which it starts a server of its own.
#
#   run.sh            40 years of orders, 40 seconds of traffic before and after
#   run.sh --short    4 years, a few seconds
#   run.sh --sqlite   no PostgreSQL, no orders service: the same sink into a file of SQLite, within `autobus dev`
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap cleanup EXIT

years=40 rate=50 reports=10
case ${1:-} in
'') ;;
--short) years=4 rate=400 reports=20 ;;
--sqlite) exec_sqlite=1 ;;
*) usage ;;
esac

if [ -n "${exec_sqlite:-}" ]; then
  build report
  export REPORT_DSN=sqlite:$work/report.db
  say "starting the bus with the sink"
  start_bus
  say "publishing the events of the file, the last one first"
  awk -f "$here/events.awk" "$csv" | tac | "$work/autobus" publish --ndjson --server "$server" -o ndjson >"$work/receipts"
  start report -dsn "$REPORT_DSN"
  report=$address
  say "comparing every merchant's every day: the file and the report"
  expect 2013 2013
  await same_report "$report" "the report's days are not the file's"
  say "$(wc -l <"$work/expected.txt") days of $(merchants | wc -l) merchants: the file and the report are identical"
  exit
fi

build orders report load
start_postgres "${1:-}"
say "$years years of orders"
"$work/orders" -schema | sql main
sql main -f "$here/history.sql" -v first=$((2012 - years)) -v last=2011 <"$csv"
sql main <<<'VACUUM ANALYZE'

say "before: orders and reports out of one database"
start orders -dsn "$(dsn main)"
main=$address
traffic before 2012 "$main"
stop orders

say "the outbox: its table, the service's flag, the relay; then a sink, and the past as events"
"$work/autobus" outbox ddl | sql main
start orders -dsn "$(dsn main)" -outbox
main=$address
export REPORT_DSN
REPORT_DSN=$(dsn report)
start_bus
"$work/autobus" outbox run --dsn "$(dsn main)" --server "$server" >"$work/relay.log" 2>&1 &
pids[relay]=$!
began=$SECONDS
sql main -f "$here/backfill.sql"
await caught_up "the report did not catch up"
echo "$(sql main <<<'SELECT count(*) FROM autobus_outbox') events in $((SECONDS - began)) s"
sql main <<<'VACUUM ANALYZE'
start report -dsn "$REPORT_DSN"
report=$address
sql report <<<'VACUUM ANALYZE'

say "after: reports out of a database of their own"
traffic after 2013 "$report"
await caught_up "the report did not catch up"

say "comparing every merchant's every day: main, the report and the file"
expect $((2012 - years)) 2013
same_report "$main" || fail "the days of main are not the file's: $(head -n 20 "$work/diff.txt")"
same_report "$report" || fail "the days of the report are not the file's: $(head -n 20 "$work/diff.txt")"
side_by_side
say "$(wc -l <"$work/expected.txt") days of $(merchants | wc -l) merchants: main and report are identical"
