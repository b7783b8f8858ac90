# shellcheck shell=bash
# What run.sh is made of: the bus and the services, their deaths and their ends.

fail() { echo "run.sh: $*" >&2; exit 1; }
say() { printf '\n== %s\n' "$*"; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage() { sed -n 's/^#   \(run\.sh\)/\1/p' "$here/run.sh" >&2; exit 2; }

cd "$here/../.."
work=$(mktemp -d)
specs=$here/../lamoda-specs
config='' brokers='' adopt=() since=()
declare -A pids=() urls=() tokens=() # of what runs, by its name

cleanup() {
  local name
  for name in "${!pids[@]}"; do kill -9 "${pids[$name]}" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}

build() {
  say "building"
  go build -o "$work/" ./cmd/autobus ./examples/refund/{bob,refund-tool,payment,fiscalization,shop,tables}
}

# prepare makes a cluster ready, and a token for each service, good for what it does and nothing else. An embedded broker
# needs neither.
prepare() {
  [ -n "$brokers" ] || return 0
  config=$work/autobus.yaml
  cat >"$config" <<X
listen: 127.0.0.1:0
instance: refund
kafka: {brokers: ["${brokers//,/\", \"}"]}
log: {level: info, format: json}
X
  say "preparing the cluster"
  since=(-since "$(date -u +%FT%T.%3NZ)")
  "$work/autobus" cluster init --config "$config" --yes ${adopt[@]+"${adopt[@]}"}
  local country
  for country in ru kz ua by; do
    token "bob-$country" publish:refunds.refund.requested.v1 "subscribe:bob-$country" 'subscribe:refunds.refund.*.v1' \
      subscribe:payments.money.refunded.v1 subscribe:fiscal.receipt.issued.v1
  done
  token refund-tool publish:refunds.refund.created.v1 publish:refunds.refund.rejected.v1 \
    request:payments.money.refund.v1 subscribe:refund-tool subscribe:refunds.refund.requested.v1 \
    subscribe:payments.money.refunded.v1
  token payment publish:payments.money.refunded.v1 subscribe:payment subscribe:payments.money.refund.v1
  token fiscalization publish:fiscal.receipt.issued.v1 subscribe:fiscalization subscribe:payments.money.refunded.v1
  token operator peek:refund-tool redrive:refund-tool 'subscribe:*' 'manage:*'
  export AUTOBUS_TOKEN=${tokens[operator]}
}

token() { # name, grants
  local name=$1
  shift
  tokens[$name]=$("$work/autobus" token create --config "$config" --principal "$name" -q "${@/#/--grant=}")
}

start_bus() {
  local deadline=$((SECONDS + 120)) ready
  if [ -n "$config" ]; then
    "$work/autobus" serve --config "$config" >"$work/bus.out" 2>"$work/bus.log" &
    ready='s/.*"msg":"ready".*"listen":"\([^"]*\)".*/\1/p'
  else
    "$work/autobus" dev --no-demo --data "$work/data" --specs "$specs" --port 0 --kafka-port 0 \
      >"$work/bus.out" 2>"$work/bus.log" &
    ready='s|^ *API  *http://||p'
  fi
  pids[bus]=$!
  until server=$(sed -n "$ready" "$work/bus.out" "$work/bus.log") && [ -n "$server" ]; do
    kill -0 "${pids[bus]}" 2>/dev/null || fail "the bus did not start: $(cat "$work/bus.log")"
    ((SECONDS < deadline)) || fail "the bus was not ready within two minutes: $(cat "$work/bus.log")"
    sleep 0.1
  done
  server=http://$server
  export AUTOBUS_SERVER=$server
  echo "the bus is at $server"
  # Of the shops alone, whoever reads what the cluster had before.
  [ -z "$config" ] || "$work/autobus" spec push "$specs" --force --yes --quiet >"$work/pushed" || fail "$(cat "$work/pushed")"
}

# start starts a service, with a database of its own. A BOB that was killed comes back where it was.
start() { # name
  local name=$1 program=$1 args=() deadline=$((SECONDS + 60))
  case $name in
  bob-*)
    program=bob
    args=(-country "${name#bob-}" -listen "${urls[$name]:-127.0.0.1:0}")
    ;;
  payment) args=(-closed "$closed") ;;
  esac
  : >"$work/$name.out"
  AUTOBUS_TOKEN=${tokens[$name]:-} "$work/$program" -server "$server" -db "$work/$name.db" -pace "$pace" ${args[@]+"${args[@]}"} \
    >"$work/$name.out" 2>>"$work/$name.log" &
  pids[$name]=$!
  [ "$program" = bob ] || return 0
  until urls[$name]=$(sed 's|^http://||' "$work/$name.out") && [ -n "${urls[$name]}" ]; do
    kill -0 "${pids[$name]}" 2>/dev/null || fail "$name did not start: $(cat "$work/$name.log")"
    ((SECONDS < deadline)) || fail "$name was not ready within a minute: $(cat "$work/$name.log")"
    sleep 0.05
  done
}

# killed kills a service and sees it dead.
killed() { # name
  local status=0
  kill -9 "${pids[$1]}"
  wait "${pids[$1]}" 2>/dev/null || status=$?
  [ "$status" = 137 ] || fail "$1 was to die of SIGKILL, its status is $status: $(cat "$work/$1.log")"
}

stop() { # name
  kill "${pids[$1]}"
  wait "${pids[$1]}" || fail "$1 ended with status $?: $(tail -n 20 "$work/$1.log")"
  unset "pids[$1]"
}

await() { # what to say if it does not come true, condition and its arguments
  local deadline=$((SECONDS + 180))
  until "${@:2}"; do
    ((SECONDS < deadline)) || fail "$1: $(tail -n 3 "$work"/*.log)"
    sleep 0.1
  done
}

tables() { "$work/tables" -dir "$work" -server "$server" "$@" || fail "$(tail -n 3 "$work"/*.log)"; }

# letters are those of refund-tool, a line of JSON each.
letters() { "$work/autobus" dlq list refund-tool -o ndjson; }
dead() { [ -n "$(letters)" ]; }
told() { [ "$(tables left)" = 0 ]; }

# handled tells whether every event is done, as the bus knows it. The groups have the names of the services.
handled() {
  local name
  for name in "${services[@]}"; do
    "$work/autobus" subscription lag "$name" -o json | grep -q '^  "undone": 0' || return 1
  done
}
