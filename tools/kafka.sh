#!/usr/bin/env bash
# A real Apache Kafka cluster for tests, from Maven Central jars, on loopback: one controller and three brokers, so that
# two brokers may die and the metadata quorum still stands. With KAFKA_LAYOUT=combined it is three nodes that are both, so
# that one death may be a controller's and a leader's. Needs bash and java 17+, for jars also mvn.
#
#   kafka.sh jars  JARS                    download the jars unless JARS has them
#   kafka.sh start JARS DATA [BASEPORT]    start a fresh cluster; prints the bootstrap list when all brokers serve
#   kafka.sh stop  DATA                    stop it by its recorded pids
#   kafka.sh wipe  DATA                    stop it and delete DATA
#
# The controller listens on BASEPORT, broker i on BASEPORT+10*i, its controller on the port above. DATA/bootstrap is the
# bootstrap list; DATA/n<i>/run starts node i, DATA/n<i>/pid is its process.
# env: KAFKA_VERSION (4.3.1)  KAFKA_HEAP (512m)  KAFKA_EXTRA (more broker properties, separated by ;)
#      KAFKA_LAYOUT (apart; or combined)  KAFKA_NET (an address without its last number, such as 10.99.7: node i is at
#      10.99.7.<i>, in the network namespace KAFKA_NETNS<i>, which exists; only with combined)  KAFKA_NETNS
set -euo pipefail

version=${KAFKA_VERSION:-4.3.1}
usage() { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
fail() { echo "kafka.sh: $*" >&2; exit 1; }
layout=${KAFKA_LAYOUT:-apart} nodes="0 1 2 3"
[ "$layout" = apart ] || nodes="1 2 3"

host() { if [ -n "${KAFKA_NET:-}" ]; then echo "$KAFKA_NET.$1"; else echo 127.0.0.1; fi; } # of node $1

jars() {
  local dir=$1 tmp
  [ -f "$dir/kafka_2.13-$version.jar" ] && [ -f "$dir/kafka-tools-$version.jar" ] && return
  command -v mvn >/dev/null || fail "mvn is needed to download the Kafka jars into $dir"
  mkdir -p "$dir"; tmp=$(mktemp -d)
  cat >"$tmp/pom.xml" <<X
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>t</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
X
  # Copied to the side first: a broken download never looks like a complete one.
  mvn -q -B -f "$tmp/pom.xml" dependency:copy-dependencies -DoutputDirectory="$tmp/jars" >&2 </dev/null ||
    fail "downloading the Kafka jars failed"
  mv "$tmp"/jars/*.jar "$dir/"; rm -rf "$tmp"
}

properties() { # of node $1, which listens on port $2
  local role=broker listeners voters="0@127.0.0.1:$base" i
  listeners=PLAINTEXT://$(host "$1"):$2
  if [ "$layout" = combined ]; then
    role=broker,controller listeners+=,CONTROLLER://$(host "$1"):$(($2 + 1)) voters=
    for i in $nodes; do voters+="${voters:+,}$i@$(host "$i"):$((base + 10 * i + 1))"; done
  elif [ "$1" = 0 ]; then
    role=controller listeners=CONTROLLER://127.0.0.1:$2
  fi
  cat <<X
process.roles=$role
node.id=$1
listeners=$listeners
log.dirs=$data/n$1/log
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
auto.create.topics.enable=false
replica.lag.time.max.ms=10000
offsets.retention.minutes=43200
offsets.topic.replication.factor=3
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
X
  [ -z "${KAFKA_EXTRA:-}" ] || tr ';' '\n' <<<"$KAFKA_EXTRA"
}

# brokers asks the broker at $1/$2 by a Metadata request (v1, no topics) how many brokers it knows.
brokers() {
  local n
  n=$( { exec 3<>"/dev/tcp/$1/$2" && printf '\0\0\0\x11\0\x03\0\x01\0\0\0\0\0\x03sh.\0\0\0\0' >&3 &&
    timeout 2 head -c 12 <&3 | tail -c 1 | od -An -tu1; } 2>/dev/null | tr -d ' ') || true
  echo "${n:-0}"
}

start() {
  local jardir cid i port d in boot=
  # C1 only and the serial collector: quick to start and small. Not for measuring.
  local java="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
  jardir=$(realpath "$1"); mkdir -p "$2"; data=$(realpath "$2"); base=${3:-29090}
  [ -f "$jardir/kafka_2.13-$version.jar" ] || fail "$1 lacks the jars of Kafka $version; see kafka.sh jars"
  [ ! -f "$data/bootstrap" ] || fail "$2 already holds a cluster; see kafka.sh wipe"
  for i in $nodes; do
    ! (exec 3<>"/dev/tcp/$(host "$i")/$((base + 10 * i))") 2>/dev/null || fail "port $((base + 10 * i)) is taken"
  done
  cid=$(head -c16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d =)
  for i in $nodes; do
    d=$data/n$i port=$((base + 10 * i)); mkdir -p "$d/log"
    properties "$i" "$port" >"$d/server.properties"
    [ "$i" = 0 ] || boot+="${boot:+,}$(host "$i"):$port"
    in=${KAFKA_NETNS:+ip netns exec "$KAFKA_NETNS$i" }
    printf '#!/usr/bin/env bash\ncd "%s"; echo $$ >pid\nexec %sjava -Xmx%s %s -cp "%s/*" kafka.Kafka server.properties %s\n' \
      "$d" "$in" "$([ "$i" = 0 ] && echo 192m || echo "${KAFKA_HEAP:-512m}")" "$java" "$jardir" '>>out.log 2>&1 </dev/null' >"$d/run"
    chmod +x "$d/run"
    java -Xmx128m $java -cp "$jardir/*" kafka.tools.StorageTool format -t "$cid" -c "$d/server.properties" \
      >"$d/format.log" 2>&1 </dev/null &
  done
  wait
  # In a session of their own: an interrupted test run still needs them until it has cleaned up.
  for i in $nodes; do $(command -v setsid || true) "$data/n$i/run" & done
  for i in 1 2 3; do
    for _ in $(seq 600); do [ "$(brokers "$(host "$i")" $((base + 10 * i)))" = 3 ] && continue 2; sleep .1; done
    tail -n 20 "$data"/n*/format.log "$data"/n*/out.log >&2 || true
    stop "$data" KILL; fail "broker $i did not come up within a minute"
  done
  echo "$boot" | tee "$data/bootstrap"
}

stop() { # the cluster in $1, with signal $2 first
  local f p
  for f in "$1"/n*/pid; do [ -f "$f" ] && kill "-$2" "$(cat "$f")" 2>/dev/null || true; done
  for f in "$1"/n*/pid; do
    [ -f "$f" ] || continue
    p=$(cat "$f")
    for _ in $(seq 60); do kill -0 "$p" 2>/dev/null || break; sleep .1; done
    kill -9 "$p" 2>/dev/null || true
    rm -f "$f"
  done
}

case "${1:-} $#" in
"jars 2") jars "$2" ;;
"start 3" | "start 4") start "$2" "$3" "${4:-}" ;;
"stop 2") stop "$2" TERM ;;
"wipe 2") stop "$2" KILL; rm -rf "$2" ;;
*) usage ;;
esac
