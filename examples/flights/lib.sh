# shellcheck shell=bash
# What run.sh and consume.sh share: the program, a bus on the embedded broker or in front of a cluster, and its end.
# Both source it with their own name in $0 and understand --kafka BROKERS, --adopt and a CSV file.

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }
say() { printf '\n== %s\n' "$*"; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage() { sed -n "s/^#   \($(basename "$0")\)/\1/p" "$here/$(basename "$0")" >&2; exit 2; }

cd "$here/../.."
work=$(mktemp -d)
autobus=$work/autobus brokers='' adopt=() csv=$here/flights-2000.csv config=''
bus='' port='' # process id, while it runs, and where it listens

# arguments reads the command line.
arguments() {
  while [[ ${1:-} == --* ]]; do
    case $1 in
    --kafka) brokers=${2:?--kafka needs the addresses of brokers}; shift ;;
    --adopt) adopt=(--adopt) ;;
    *) usage ;;
    esac
    shift
  done
  [ $# = 0 ] || csv=$(cd "$OLDPWD" && realpath "$1")
  [ -f "$csv" ] || fail "$csv is not there"
}

rows() { # of the file, whatever it is packed in
  case $csv in
  *.zip) unzip -p "$csv" '*.csv' ;;
  *) cat "$csv" ;;
  esac
}

# build compiles the program and those of the example that are named.
build() {
  say "building"
  go build -o "$work/" ./cmd/autobus "${@/#/./examples/flights/}"
}

# prepare makes a cluster ready and AUTOBUS_TOKEN good for all that the example does. An embedded broker needs neither.
prepare() {
  [ -n "$brokers" ] || return 0
  config=$work/autobus.yaml
  cat >"$config" <<X
listen: 127.0.0.1:0
instance: flights
kafka: {brokers: ["${brokers//,/\", \"}"]}
log: {level: info, format: json}
X
  say "preparing the cluster"
  "$autobus" cluster init --config "$config" --yes ${adopt[@]+"${adopt[@]}"}
  AUTOBUS_TOKEN=$("$autobus" token create --config "$config" --principal flights --grant 'publish:flights.*' \
    --grant 'subscribe:flights.*' --grant 'subscribe:*' --grant 'manage:*' -q)
  export AUTOBUS_TOKEN
}

# start_bus sets server and, for the embedded broker, brokers. The first time any free port will do; later it is the same.
start_bus() {
  local deadline=$((SECONDS + 60)) ready first=${port:-yes}
  : >"$work/out" 2>"$work/log"
  if [ -n "$config" ]; then
    AUTOBUS_LISTEN=127.0.0.1:${port:-0} "$autobus" serve --config "$config" >"$work/out" 2>"$work/log" &
    ready='s/.*"msg":"ready".*"listen":"\([^"]*\)".*/\1/p'
  else
    "$autobus" dev --no-demo --data "$work/data" --specs "$here/specs" --port "${port:-0}" --kafka-port 0 \
      >"$work/out" 2>"$work/log" &
    ready='s|^ *API  *http://||p'
  fi
  bus=$!
  until server=$(sed -n "$ready" "$work/out" "$work/log") && [ -n "$server" ]; do
    kill -0 "$bus" 2>/dev/null || { bus=''; fail "the bus did not start: $(cat "$work/log")"; }
    ((SECONDS < deadline)) || fail "the bus was not ready within a minute: $(cat "$work/log")"
    sleep 0.1
  done
  port=${server##*:} server=http://$server
  [ -n "$config" ] || brokers=$(sed -n 's/^ *Kafka  *\([^ ]*\).*/\1/p' "$work/out")
  echo "the bus is at $server, Kafka at $brokers"
  [ "$first" != yes ] || [ -z "$config" ] || push_specs "$server"
}

# push_specs has the specs of the flights in force instead of those that the cluster had, whoever reads those.
push_specs() { # URL
  "$autobus" spec push "$here/specs" --server "$1" --force --yes --quiet >"$work/pushed" || fail "$(cat "$work/pushed")"
}

stop_bus() { # what it said stays in $work/log
  [ -n "$bus" ] || return 0
  kill "$bus" 2>/dev/null || true
  wait "$bus" || fail "the bus ended with status $?: $(tail -n 20 "$work/log")"
  bus=''
}
