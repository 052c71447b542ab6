#!/usr/bin/env bash
# OpenSearch for development and tests, without containers: the minimal distribution from Maven, on loopback only.
#
#   opensearch.sh install   fetch the distribution, and a Java runtime where there is none
#   opensearch.sh start     install, start in the background, wait until it answers; prints its address
#   opensearch.sh run       install, become the server (for a process that keeps it as its child)
#   opensearch.sh status    print the address and exit 0 when it answers, else exit 1
#   opensearch.sh stop      end what start started, and nothing else
#   opensearch.sh env       print the settings of a client as KEY=value lines
#
# Settings, all optional:
#   SERVERS_DIR         where everything lies; default: .servers beside the Makefile
#   OPENSEARCH_DIR      data, log and pid file; default: $SERVERS_DIR/opensearch
#   OPENSEARCH_PORT     default 9200
#   OPENSEARCH_HEAP     default 512m
#   OPENSEARCH_VERSION  default 3.6.0
#   OPENSEARCH_OPTIONS  more options of the Java runtime; tests take -XX:TieredStopAtLevel=1, which halves what a start costs
#   OPENSEARCH_JAVA     folder of a Java runtime, 21 or newer; default: the first that is found
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
servers=${SERVERS_DIR:-$here/../../.servers}
version=${OPENSEARCH_VERSION:-3.6.0}
port=${OPENSEARCH_PORT:-9200}
heap=${OPENSEARCH_HEAP:-512m}
mkdir -p "$servers"
servers=$(cd "$servers" && pwd)
dist=$servers/dist
home=$dist/opensearch-$version
dir=${OPENSEARCH_DIR:-$servers/opensearch}
address=http://127.0.0.1:$port

fail() { echo "opensearch.sh: $*" >&2; exit 1; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# locked runs a command while no other installs.
locked() { ( flock 9; "$@" ) 9>"$servers/.install.lock"; }

apt_install() {
	command -v apt-get >/dev/null || return 1
	as_root apt-get update -qq >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

java_major() { "$1/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1; }

# find_java prints the folder of a runtime that is new enough.
find_java() {
	local path candidate
	path=$(command -v java || true)
	for candidate in "${OPENSEARCH_JAVA:-}" "${JAVA_HOME:-}" "${path:+$(dirname "$(dirname "$(readlink -f "$path")")")}" /usr/lib/jvm/*; do
		if [ -n "$candidate" ] && [ -x "$candidate/bin/java" ] && [ "$(java_major "$candidate" || echo 0)" -ge 21 ] 2>/dev/null; then
			echo "$candidate"
			return
		fi
	done
	return 1
}

install_java() {
	find_java >/dev/null && return
	local name
	for name in openjdk-21-jre-headless openjdk-25-jre-headless temurin-21-jre temurin-25-jre; do
		if apt_install "$name" && find_java >/dev/null; then return; fi
	done
	fail "needs Java 21 or newer: install one and name its folder in OPENSEARCH_JAVA"
}

install_distribution() {
	[ -f "$home/.complete" ] && return
	command -v mvn >/dev/null || apt_install maven || fail "needs mvn to fetch OpenSearch $version"
	rm -rf "$home" "$dist/.markers"
	mkdir -p "$dist"
	mvn -B -ntp -q -f "$here/opensearch-pom.xml" -Dserver.version="$version" -Dserver.folder="$dist" package >&2
	[ -f "$home/lib/opensearch-$version.jar" ] || fail "the distribution was unpacked without its server"
	touch "$home/.complete"
}

install_all() { locked install_java; locked install_distribution; }

healthy() { curl -fsS -m 5 "$address/_cluster/health?wait_for_status=yellow&timeout=3s" >/dev/null 2>&1; }

# alive prints the pid that start wrote, when that process still is the server.
alive() {
	local pid
	pid=$(cat "$dir/pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "-Dauditlog.dir=$dir " || return 1
	echo "$pid"
}

run() {
	local java as=()
	java=$(find_java) || fail "no Java runtime"
	mkdir -p "$dir/conf" "$dir/data" "$dir/tmp"
	: >"$dir/conf/opensearch.yml"
	printf '%s\n' 'status = error' 'appender.out.type = Console' 'appender.out.name = out' \
		'appender.out.layout.type = PatternLayout' 'appender.out.layout.pattern = %d{ISO8601} %-5p %c{1.} %m%n' \
		'rootLogger.level = warn' 'rootLogger.appenderRef.out.ref = out' >"$dir/conf/log4j2.properties"
	# The server refuses to be root: inside a user namespace root is somebody else, with the same pid and files.
	if [ "$(id -u)" -eq 0 ]; then
		if unshare --user --map-user=1000 --map-group=1000 true 2>/dev/null; then
			as=(unshare --user --map-user=1000 --map-group=1000)
		else
			chown -R 65534:65534 "$dir"
			as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
		fi
	fi
	# G1, since the server's memory breaker knows how to make it collect: with another collector it counts garbage as use
	# and answers 429 for no reason.
	cd "$home"
	# shellcheck disable=SC2086 # options are several words
	exec ${as[@]+"${as[@]}"} "$java/bin/java" -Dauditlog.dir="$dir" \
		-Xms"$heap" -Xmx"$heap" -XX:+UseG1GC -Xss1m ${OPENSEARCH_OPTIONS:-} -XX:+ExitOnOutOfMemoryError -XX:ErrorFile="$dir/tmp/crash-%p.log" \
		-Djava.awt.headless=true -Dfile.encoding=UTF-8 -Djava.locale.providers=CLDR \
		-Djna.nosys=true -Djna.tmpdir="$dir/tmp" -Djava.io.tmpdir="$dir/tmp" \
		-Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true \
		-Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0 \
		-Dio.netty.allocator.numDirectArenas=0 \
		--add-modules=jdk.incubator.vector --enable-native-access=ALL-UNNAMED \
		-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1 \
		-javaagent:"$home/agent/opensearch-agent.jar" \
		-Dopensearch.path.home="$home" -Dopensearch.path.conf="$dir/conf" \
		-Dopensearch.distribution.type=zip -Dopensearch.bundled_jdk=false \
		-cp "$home/lib/*" org.opensearch.bootstrap.OpenSearch \
		-Ecluster.name=auditlog -Enode.name=local -Ediscovery.type=single-node \
		-Epath.data="$dir/data" -Epath.logs="$dir/tmp" \
		-Enetwork.host=127.0.0.1 -Ehttp.port="$port" -Etransport.port=0 \
		-Eaction.auto_create_index=false -Ecluster.routing.allocation.disk.threshold_enabled=false </dev/null
}

start() {
	if alive >/dev/null && healthy; then echo "$address"; return; fi
	! healthy || fail "port $port is taken by a server that is not ours"
	install_all
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
	OPENSEARCH_DIR=$dir setsid "${BASH_SOURCE[0]}" run >"$dir/log" 2>&1 </dev/null 9>&- &
	echo $! >"$dir/pid"
	for _ in $(seq 600); do # a machine that is busy with much else takes minutes
		if healthy; then echo "$address"; return; fi
		kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
		sleep 0.5
	done
	tail -n 30 "$dir/log" >&2
	stop
	fail "did not start; its log is $dir/log"
}

stop() {
	local pid
	if pid=$(alive); then
		kill "$pid"
		for _ in $(seq 100); do
			[ -d "/proc/$pid" ] || break
			sleep 0.2
		done
		[ ! -d "/proc/$pid" ] || kill -9 "$pid"
	fi
	rm -f "$dir/pid"
}

case ${1:-} in
install) install_all ;;
start) start ;;
run) install_all; mkdir -p "$dir"; dir=$(cd "$dir" && pwd); run ;;
status) if alive >/dev/null && healthy; then echo "$address"; else exit 1; fi ;;
stop) stop ;;
env) echo "AUDITLOG_TEST_OPENSEARCH=$address" ;;
*) sed -n '2,20s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
