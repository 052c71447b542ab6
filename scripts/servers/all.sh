#!/usr/bin/env bash
# All servers that the distributed tier needs, natively on loopback.
#
#   all.sh start [NAME…]   start them, make databases and roles, and write the settings of their clients
#   all.sh stop [NAME…]    end exactly what start began; data, ports and secrets are kept
#   all.sh status          say which run; exit code 0 when all do
#   all.sh env [NAME…]     print the settings of their clients, as the tests take them
#
# Each is a script beside this one: elasticmq, opensearch, timescaledb. One that runs already is left as it is. Everything
# lies in SERVERS_DIR (.servers beside the Makefile): programs, data, logs, and
#
#   env        KEY=value lines that make the service use these servers, with secrets that were made once
#   test.env   KEY=value lines that make the tests use them; both are written when all three are started
#   ports      a server keeps its port for as long as nobody else takes it
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
export SERVERS_DIR=${SERVERS_DIR:-$root/.servers}
mkdir -p "$SERVERS_DIR"
SERVERS_DIR=$(cd "$SERVERS_DIR" && pwd)
# One SQS server serves all tests and measurements, and keeps what waits in memory.
export ELASTICMQ_HEAP=${ELASTICMQ_HEAP:-1g}
export TIMESCALEDB_HOME=${TIMESCALEDB_HOME:-$SERVERS_DIR/timescaledb} ELASTICMQ_HOME=${ELASTICMQ_HOME:-$SERVERS_DIR/elasticmq}

declare -A default_port=([elasticmq]=9324 [opensearch]=9200 [timescaledb]=55432)
all=(elasticmq opensearch timescaledb)

die() { echo "servers: $*" >&2; exit 1; }
script() { echo "$here/$1.sh"; }
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port gives a server the port that it had, or its usual one, or the next that is free.
port() {
	local name=$1 var=${1^^}_PORT port
	port=${!var:-$(sed -n "s/^$var=//p" "$SERVERS_DIR/ports" 2>/dev/null || true)}
	port=${port:-${default_port[$name]}}
	export "$var=$port"
	"$(script "$name")" status >/dev/null 2>&1 && return
	while taken "$port"; do port=$((port + 1)); done
	export "$var=$port"
}

known_ports() {
	local name var
	for name in "${all[@]}"; do
		var=${name^^}_PORT
		port=$(sed -n "s/^$var=//p" "$SERVERS_DIR/ports" 2>/dev/null || true)
		[ -z "$port" ] || export "$var=${!var:-$port}"
	done
}

# secret prints 32 random bytes, the same each time for a name.
secret() {
	local file=$SERVERS_DIR/secrets/$1
	mkdir -p -m 0700 "$SERVERS_DIR/secrets"
	[ -s "$file" ] || od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$file"
	cat "$file"
}

# service_env prints what makes the service use the servers.
service_env() {
	local at=127.0.0.1:$TIMESCALEDB_PORT
	echo "AUDITLOG_STORE=postgres://auditlog_service@$at/auditlog?sslmode=disable"
	echo "AUDITLOG_LIFECYCLE=postgres://auditlog_lifecycle@$at/auditlog?sslmode=disable"
	echo "AUDITLOG_OWNER=postgres://auditlog_owner@$at/auditlog?sslmode=disable"
	echo "AUDITLOG_KEYS=postgres://auditlog_keys@$at/auditlog_keys?sslmode=disable"
	echo "AUDITLOG_KEYS_SECRET=$(secret keys)"
	echo "AUDITLOG_JWT_SECRET=$(secret jwt)"
	echo "AUDITLOG_BUS=sqs"
	echo "AUDITLOG_SEARCH=http://127.0.0.1:$OPENSEARCH_PORT"
	"$(script elasticmq)" env
}

# start_each installs one after the other, since apt and Maven want to be alone, and starts them side by side.
start_each() {
	local name started=() failed=0
	for name in "$@"; do port "$name"; done
	for name in "$@"; do
		"$(script "$name")" install >"$SERVERS_DIR/$name.start.log" 2>&1 || {
			cat "$SERVERS_DIR/$name.start.log" >&2
			die "$name cannot be installed"
		}
	done
	for name in "$@"; do
		"$(script "$name")" start >>"$SERVERS_DIR/$name.start.log" 2>&1 </dev/null &
		started+=($!)
	done
	for name in "$@"; do
		if ! wait "${started[0]}"; then
			cat "$SERVERS_DIR/$name.start.log" >&2
			echo "servers: $name does not start" >&2
			failed=1
		fi
		started=("${started[@]:1}")
	done
	return $failed
}

# client_env prints what makes tests use the servers.
client_env() {
	local name
	known_ports
	for name in "$@"; do "$(script "$name")" env; done
}

start() {
	local name var
	known_ports
	start_each "$@"
	for name in "${all[@]}"; do
		var=${name^^}_PORT
		echo "$var=${!var:-${default_port[$name]}}"
	done >"$SERVERS_DIR/ports"
	for name in "$@"; do
		var=${name^^}_PORT
		echo "servers: $name on port ${!var}" >&2
	done
	[ "$#" -eq "${#all[@]}" ] || return 0 # tests make databases of their own
	"$(script timescaledb)" psql -X -q -v ON_ERROR_STOP=1 <"$root/deploy/postgres/databases.sql" >"$SERVERS_DIR/databases.log" 2>&1 || {
		cat "$SERVERS_DIR/databases.log" >&2
		die "the databases cannot be made"
	}
	client_env "$@" >"$SERVERS_DIR/test.env"
	(umask 077 && service_env >"$SERVERS_DIR/env.new")
	mv "$SERVERS_DIR/env.new" "$SERVERS_DIR/env"
	echo "servers: settings of the service are in $SERVERS_DIR/env, of the tests in $SERVERS_DIR/test.env" >&2
}

stop() {
	local name failed=0
	known_ports
	[ "$#" -lt "${#all[@]}" ] || rm -f "$SERVERS_DIR/env" "$SERVERS_DIR/test.env"
	for name in "$@"; do
		"$(script "$name")" stop || failed=1
	done
	return $failed
}

status() {
	local name failed=0
	known_ports
	for name in "${all[@]}"; do
		if "$(script "$name")" status >/dev/null 2>&1; then echo "$name runs"; else echo "$name does not run"; failed=1; fi
	done
	return $failed
}

for name in "${@:2}"; do
	[ -n "${default_port[$name]:-}" ] || die "there is no server $name, only ${all[*]}"
done
[ "$#" -gt 1 ] || set -- "${1:-}" "${all[@]}"
case $1 in
start) start "${@:2}" ;;
stop) stop "${@:2}" ;;
status) status ;;
env) client_env "${@:2}" ;;
*)
	sed -n '4,7s/^# *//p' "${BASH_SOURCE[0]}" >&2
	exit 2
	;;
esac
