#!/usr/bin/env bash
# An SQS server for tests and local work: ElasticMQ from Maven, on loopback.
#
#   elasticmq.sh install    fetch it once
#   elasticmq.sh start      install, start in the background, wait until it answers; nothing to do when it runs
#   elasticmq.sh stop       end exactly what start began
#   elasticmq.sh status     say whether it runs; exit code 0 when it answers, 3 when it does not run
#   elasticmq.sh env        print the settings of a client as KEY=value lines
#
# ELASTICMQ_HOME is where it is installed (.servers/elasticmq), ELASTICMQ_RUN holds its data, log and pid
# (.servers/elasticmq/run), ELASTICMQ_PORT is its port (9324), ELASTICMQ_HEAP its heap (384m). ELASTICMQ_DURABLE=false
# keeps queues and messages in memory only, and ELASTICMQ_LIMITS=relaxed does not check each character of a message: both
# are for measuring what the service costs rather than this server, which the real one's caller does not pay for.
# ELASTICMQ_OPTIONS are further ones of java: one that lives for a short time compiles less with -XX:TieredStopAtLevel=1.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${ELASTICMQ_HOME:=$root/.servers/elasticmq}" "${ELASTICMQ_PORT:=9324}" "${ELASTICMQ_HEAP:=384m}"
: "${ELASTICMQ_RUN:=$ELASTICMQ_HOME/run}"
case $ELASTICMQ_RUN in /*) ;; *) ELASTICMQ_RUN=$PWD/$ELASTICMQ_RUN ;; esac
export ELASTICMQ_PORT ELASTICMQ_RUN

say() { echo "elasticmq: $*" >&2; }
die() { say "$*"; exit 1; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

tools() {
	local missing=()
	command -v java >/dev/null || missing+=(default-jre-headless)
	command -v mvn >/dev/null || missing+=(maven)
	[ "${#missing[@]}" -eq 0 ] && return
	command -v apt-get >/dev/null || die "needs java and mvn on the PATH"
	as_root apt-get update -qq
	as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# The pom's checksum in the mark's name makes a changed version install anew.
install() {
	local mark
	mkdir -p "$ELASTICMQ_HOME"
	mark=$ELASTICMQ_HOME/installed-$(cksum <"$here/elasticmq-pom.xml" | cut -d' ' -f1)
	exec 9>"$ELASTICMQ_HOME/lock" # packages of tests install at the same time
	flock 9
	if [ ! -f "$mark" ]; then
		tools
		rm -rf "$ELASTICMQ_HOME/lib" "$ELASTICMQ_HOME"/installed-*
		mvn -q -B -ntp -f "$here/elasticmq-pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
			-DoutputDirectory="$ELASTICMQ_HOME/lib" >&2
		touch "$mark"
	fi
	exec 9>&-
}

# pid prints the server's process, if it is still the one that start began.
pid() {
	local p
	p=$(cat "$ELASTICMQ_RUN/pid" 2>/dev/null) || return 1
	case "$(ps -ww -p "$p" -o args= 2>/dev/null)" in
	*"$ELASTICMQ_RUN/"*) echo "$p" ;;
	*) return 1 ;;
	esac
}

answers() {
	local status
	exec 3<>"/dev/tcp/127.0.0.1/$ELASTICMQ_PORT" || return 1
	printf 'GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 && read -r -t 2 status <&3
	exec 3>&-
	[[ ${status:-} == *" 200 "* ]]
} 2>/dev/null

start() {
	local p
	install
	mkdir -p "$ELASTICMQ_RUN/data"
	if pid >/dev/null; then
		answers && return
		die "process $(pid) of $ELASTICMQ_RUN does not answer on port $ELASTICMQ_PORT: stop it, or name its port"
	fi
	answers && die "port $ELASTICMQ_PORT is taken by another server"
	# shellcheck disable=SC2086 # options are words
	setsid java "-Xmx$ELASTICMQ_HEAP" -XX:+UseSerialGC ${ELASTICMQ_OPTIONS:-} -XX:+ExitOnOutOfMemoryError "-Dauditlog.run=$ELASTICMQ_RUN/" \
		"-Dconfig.file=$here/elasticmq.conf" -cp "$ELASTICMQ_HOME/lib/*" org.elasticmq.server.Main \
		</dev/null >>"$ELASTICMQ_RUN/log" 2>&1 &
	p=$!
	echo "$p" >"$ELASTICMQ_RUN/pid"
	for _ in $(seq 300); do
		answers && return
		kill -0 "$p" 2>/dev/null || break
		sleep 0.2
	done
	tail -n 20 "$ELASTICMQ_RUN/log" >&2
	stop
	die "did not come up, its log is $ELASTICMQ_RUN/log"
}

stop() {
	local p
	if p=$(pid); then
		kill "$p" 2>/dev/null || true
		for i in $(seq 100); do
			kill -0 "$p" 2>/dev/null || break
			[ "$i" -eq 50 ] && kill -9 "$p" 2>/dev/null
			sleep 0.1
		done
	fi
	rm -f "$ELASTICMQ_RUN/pid"
}

status() {
	local p
	p=$(pid) || { say "not running"; exit 3; }
	answers || die "process $p does not answer on port $ELASTICMQ_PORT"
	say "process $p answers on port $ELASTICMQ_PORT"
}

# Any credentials do: the server checks none, but the SDK wants some.
env_lines() {
	echo "AWS_ENDPOINT_URL_SQS=http://127.0.0.1:$ELASTICMQ_PORT"
	echo "AWS_REGION=us-east-1"
	echo "AWS_ACCESS_KEY_ID=local"
	echo "AWS_SECRET_ACCESS_KEY=local"
}

case "${1:-}" in
install) install ;;
start) start ;;
stop) stop ;;
status) status ;;
env) env_lines ;;
*)
	echo "usage: $0 install|start|stop|status|env" >&2
	exit 2
	;;
esac
