#!/usr/bin/env bash
# PostgreSQL 17 with TimescaleDB (Apache edition) for tests and local work: the packages of Debian 13 in a folder of
# their own, on loopback. Works on Debian and Ubuntu as root.
#
#   timescaledb.sh install   once; about a minute and 700 MB
#   timescaledb.sh start     install, start in the background, wait until it answers; nothing to do when it runs
#   timescaledb.sh stop      end exactly what start began
#   timescaledb.sh status    say whether it runs; exit code 0 when it does, 3 when it does not
#   timescaledb.sh env       print the settings of a client as KEY=value lines
#   timescaledb.sh psql …    run psql as the superuser; it reads standard input
#
# TIMESCALEDB_HOME is where it is installed (.servers/timescaledb), TIMESCALEDB_PORT its port (55432). One installation
# holds several clusters, each with data, log and pid of its own: TIMESCALEDB_CLUSTER (main) is a cluster's name.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${TIMESCALEDB_HOME:=$root/.servers/timescaledb}" "${TIMESCALEDB_PORT:=55432}" "${TIMESCALEDB_CLUSTER:=main}"
debian=$TIMESCALEDB_HOME/root
run=/srv/$TIMESCALEDB_CLUSTER # as the server sees it
log=$debian$run/log

say() { echo "timescaledb: $*" >&2; }
die() { say "$*"; exit 1; }

# inside runs a command of the packages as the user who owns the cluster, which must not be root.
inside() {
	chroot --userspec=postgres:postgres "$debian" /usr/bin/env -i \
		PATH=/usr/lib/postgresql/17/bin:/usr/bin:/bin LANG=C.UTF-8 HOME="$run" "$@"
}

# archive is the Debian archive that this machine's own apt uses.
archive() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(SITE) $(SUITE)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
		awk '$2 !~ /security|updates|backports/ {print $1; exit}'
}

tools() {
	[ "$(id -u)" -eq 0 ] || die "must run as root, for the packages get a root folder of their own"
	command -v apt-get >/dev/null || die "needs Debian or Ubuntu"
	if ! command -v debootstrap >/dev/null || [ -z "$(archive)" ]; then
		apt-get update -qq >&2
		apt-get install -y -qq --no-install-recommends debootstrap >&2
	fi
	[ -n "$(archive)" ] || die "apt on this machine knows no Debian archive"
}

install() {
	mkdir -p "$TIMESCALEDB_HOME"
	exec 9>"$TIMESCALEDB_HOME/lock" # packages of tests install at the same time
	flock 9
	if [ ! -f "$TIMESCALEDB_HOME/installed" ]; then
		tools
		say "installing PostgreSQL 17 and TimescaleDB in $TIMESCALEDB_HOME"
		rm -rf "$debian"
		debootstrap --variant=minbase --include=postgresql-17,postgresql-17-timescaledb trixie "$debian" "$(archive)" \
			>"$TIMESCALEDB_HOME/install.log" 2>&1 || die "the installation failed: see $TIMESCALEDB_HOME/install.log"
		rm -rf "$debian"/var/cache/apt/archives/*.deb "$debian"/var/lib/apt/lists/*
		touch "$TIMESCALEDB_HOME/installed"
	fi
	exec 9>&-
}

running() {
	[ -f "$debian$run/data/postmaster.pid" ] && inside pg_ctl -D "$run/data" status >/dev/null 2>&1
}

start() {
	install
	exec 9>"$TIMESCALEDB_HOME/lock"
	flock 9
	if ! running; then
		mkdir -p "$debian$run"
		chroot "$debian" chown postgres:postgres "$run"
		if [ ! -f "$debian$run/initialized" ]; then
			rm -rf "$debian$run/data"
			inside initdb -D "$run/data" -U postgres --auth=trust -E UTF8 --locale=C.UTF-8 9>&- >"$TIMESCALEDB_HOME/initdb.log" 2>&1 ||
				die "the cluster cannot be made: see $TIMESCALEDB_HOME/initdb.log"
			touch "$debian$run/initialized"
		fi
		echo "$TIMESCALEDB_PORT" >"$debian$run/port"
		# Everything that durability rests on stays as it is. Several packages of tests connect at once.
		inside pg_ctl -D "$run/data" -w -t 60 -l "$run/log" -o "-c listen_addresses=127.0.0.1 -c port=$TIMESCALEDB_PORT \
			-c unix_socket_directories=$run -c max_connections=300 -c shared_buffers=256MB -c max_wal_size=2GB -c timezone=UTC \
			-c shared_preload_libraries=timescaledb -c timescaledb.telemetry_level=off -c timescaledb.max_background_workers=4" \
			start </dev/null >/dev/null 2>&1 9>&- || { tail -n 5 "$log" >&2; die "the server does not start: see $log"; }
	fi
	exec 9>&-
}

case "${1:-}" in
install) install ;;
start) start ;;
stop)
	if running; then inside pg_ctl -D "$run/data" -m fast -w -t 60 stop >/dev/null; fi
	;;
status)
	if ! running; then say "does not run"; exit 3; fi
	say "runs on port $(cat "$debian$run/port")"
	;;
env)
	running || die "does not run"
	echo "AUDITLOG_TEST_POSTGRES=postgres://postgres@127.0.0.1:$(cat "$debian$run/port")/postgres?sslmode=disable"
	;;
psql)
	running || die "does not run"
	inside psql -h "$run" -p "$(cat "$debian$run/port")" -U postgres "${@:2}"
	;;
*) sed -n '5,10s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
