# shellcheck shell=bash
# What run.sh is made of: processes and their end, a PostgreSQL, one part of the traffic, the comparison.

fail() { echo "run.sh: $*" >&2; exit 1; }
say() { printf '\n== %s\n' "$*"; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage() { sed -n 's/^#   \(run\.sh\)/\1/p' "$here/run.sh" >&2; exit 2; }

cd "$here/../.."
work=$(mktemp -d)
csv=$here/../flights/flights-2000.csv
declare -A pids=() # of what runs, by its name
pg='' pgbin='' as=()

cleanup() {
  local name
  for name in "${!pids[@]}"; do
    if [ "$name" = postgres ]; then kill -INT "${pids[$name]}"; else kill -9 "${pids[$name]}"; fi
  done 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work" "${pg:-$work}"
}

build() {
  say "building"
  go build -o "$work/" ./cmd/autobus "${@/#/./examples/order-report/}"
}

# first waits for the line of a program's output that tells where it listens, which a sed script finds, in address.
first() { # name, script
  local deadline=$((SECONDS + 60))
  until address=$(sed -n "$2" "$work/$1.out" 2>/dev/null) && [ -n "$address" ]; do
    kill -0 "${pids[$1]}" 2>/dev/null || fail "$1 did not start: $(cat "$work/$1.log")"
    ((SECONDS < deadline)) || fail "$1 was not ready within a minute: $(cat "$work/$1.log")"
    sleep 0.1
  done
}

start() { # a service of the example and its arguments
  local name=$1
  shift
  "$work/$name" "$@" >"$work/$name.out" 2>"$work/$name.log" &
  pids[$name]=$!
  first "$name" 1p
}

stop() {
  kill "${pids[$1]}"
  wait "${pids[$1]}" || fail "$1 ended with status $?: $(cat "$work/$1.log")"
  unset "pids[$1]"
}

start_bus() { # with the sink, which makes its table
  "$work/autobus" dev --no-demo --data "$work/data" --specs "$here/specs" --port 0 --kafka-port 0 \
    --sink "$here/order-report.yaml" >"$work/bus.out" 2>"$work/bus.log" &
  pids[bus]=$!
  first bus 's|^ *API  *||p'
  server=$address
  echo "the bus is at $server"
}

# start_postgres starts a server of its own, with its data in a new folder, reached by a socket in there.
start_postgres() {
  local bins=(/usr/lib/postgresql/*/bin/initdb) options=()
  pgbin=$(dirname "$(printf '%s\n' "${bins[@]}" | sort -V | tail -n 1)")
  [ -x "$pgbin/initdb" ] || pgbin=$(dirname "$(command -v initdb)") ||
    fail "needs PostgreSQL 15 or newer, Debian's package postgresql; --sqlite does without"
  pg=$(mktemp -d -t order-report-XXXXXX)
  if [ "$(id -u)" = 0 ]; then # whose PostgreSQL refuses to be
    chown postgres: "$pg"
    as=(setpriv --reuid postgres --regid postgres --clear-groups)
  fi
  say "starting PostgreSQL"
  (cd "$pg" && "${as[@]}" "$pgbin/initdb" -D "$pg/data" -U postgres -A trust --no-sync -E UTF8 --locale=C.UTF-8 >/dev/null)
  [ ! -e "$("$pgbin/pg_config" --pkglibdir 2>/dev/null || echo "$pgbin/../lib")/pg_stat_statements.so" ] ||
    options+=(-c shared_preload_libraries=pg_stat_statements)
  [ "$1" != --short ] || options+=(-c fsync=off)
  (cd "$pg" && exec "${as[@]}" "$pgbin/postgres" -D "$pg/data" -k "$pg" -c listen_addresses= "${options[@]}") \
    >"$work/postgres.log" 2>&1 &
  pids[postgres]=$!
  await postgres_ready "PostgreSQL did not start"
  sql postgres <<<'CREATE DATABASE main'
  sql postgres <<<'CREATE DATABASE report'
  statements=''
  if [[ "${options[*]}" = *pg_stat_statements* ]]; then
    sql postgres <<<'CREATE EXTENSION pg_stat_statements'
    statements=1
  fi
}

postgres_ready() { "$pgbin/pg_isready" -q -h "$pg"; }
dsn() { echo "postgres:///$1?host=$pg&user=postgres"; }
sql() { # database, arguments of psql; the statements come from the standard input or by -f
  local db=$1
  shift
  "$pgbin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$(dsn "$db")" "$@"
}

await() { # condition and its arguments, what to say if it does not come true
  local deadline=$((SECONDS + 300))
  until "${@:1:$#-1}"; do
    ((SECONDS < deadline)) || fail "${*: -1}: $(tail -n 10 "$work"/{diff.txt,bus.log,relay.log} 2>/dev/null)"
    sleep 0.2
  done
}

# caught_up tells whether the report has every order of main, and every order's end.
caught_up() {
  local want got
  want=$(sql main <<<"SELECT count(*) FILTER (WHERE version = 1), count(*) FILTER (WHERE version = 2) FROM order_changes")
  got=$(sql report <<<"SELECT count(placed_at), count(closed_at) FROM order_report")
  [ "$want" = "$got" ]
}

# traffic runs load for the orders of a year and notes what it and the database say of it.
traffic() { # before or after, year, who answers for reports
  sql postgres <<<CHECKPOINT # what was loaded before is not to be written out meanwhile
  [ -z "$statements" ] || sql postgres <<<'SELECT pg_stat_statements_reset()' >/dev/null
  curl -sSf "$main/spent" >/dev/null
  "$work/load" -orders "$main" -report "$3" -year "$2" -rate "$rate" -reports "$reports" "$csv" >"$work/$1.txt"
  if [ -n "$statements" ]; then
    sql postgres >"$work/$1.spent" <<'SQL'
SELECT sum(total_exec_time), coalesce(sum(total_exec_time) FILTER (WHERE query LIKE '%/* report */%'), 0),
    coalesce(sum(total_exec_time) FILTER (WHERE query LIKE '%autobus_outbox%'), 0)
  FROM pg_stat_statements s JOIN pg_database d ON d.oid = dbid WHERE datname = 'main'
SQL
  else
    curl -sSf "$main/spent" >"$work/$1.spent"
  fi
}

side_by_side() {
  say "side by side, in milliseconds${statements:+; the time of the database by pg_stat_statements}"
  printf '%-28s%10s%10s%10s%10s\n' '' 'before p50' 'p99' 'after p50' 'p99'
  paste -d ' ' "$work/before.txt" "$work/after.txt" | awk '
    BEGIN {
      name["place"] = "POST an order"; name["show"] = "GET an order"
      name["close"] = "POST its end"; name["report"] = "GET a report"
    }
    { printf "%-28s%10s%10s%10s%10s\n", name[$1], $3, $4, $7, $8 }'
  paste -d '|' "$work/before.spent" "$work/after.spent" | awk -F '|' '
    function of(part, all) { return part == "" ? "-" : sprintf("%.1f %%", 100 * part / all) }
    {
      printf "%-28s%20.0f%20.0f\n", "main database, in all", $1, $4
      printf "%-28s%20s%20s\n", "  of it reports", of($2, $1), of($5, $4)
      printf "%-28s%20s%20s\n", "  of it outbox and relay", of($3, $1), of($6, $4)
    }'
}

merchants() { awk -F , 'NR > 1 { print $10 }' "$csv" | LC_ALL=C sort -u; }

expect() { # first and last year: what the file says of them
  awk -v first="$1" -v last="$2" -f "$here/days.awk" "$csv" | LC_ALL=C sort >"$work/expected.txt"
}

# same_report asks a service for every merchant's days and tells whether they are what the file says.
same_report() {
  local merchant
  for merchant in $(merchants); do
    curl -sSf "$1/report?merchant=$merchant&from=0001-01-01&to=9999-12-31" | sed "s/^/$merchant /"
  done | LC_ALL=C sort >"$work/days.txt"
  diff "$work/expected.txt" "$work/days.txt" >"$work/diff.txt"
}
