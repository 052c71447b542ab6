#!/usr/bin/env bash
# All servers that the distributed tier needs, natively on loopback.
#
#   all.sh start   start each, and write the settings of their clients to .servers/env as KEY=value lines
#   all.sh stop    end exactly what start began
#   all.sh status  say which run; exit code 0 when all do
#
# Each is a script beside this one. One that runs already is left as it is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${SERVERS_DIR:-$(cd "$here/../.." && pwd)/.servers}

servers() {
	local script
	for script in "$here"/*.sh; do
		[ "$script" = "$here/all.sh" ] || echo "$script"
	done
}

case "${1:-}" in
start)
	mkdir -p "$dir"
	: >"$dir/env.new"
	for script in $(servers); do
		name=$(basename "$script" .sh)
		"$script" start >"$dir/$name.start.log" 2>&1 || { cat "$dir/$name.start.log" >&2; echo "$name does not start" >&2; exit 1; }
		"$script" env >>"$dir/env.new"
		echo "$name runs"
	done
	mv "$dir/env.new" "$dir/env"
	echo "settings: $dir/env"
	;;
stop)
	failed=0
	for script in $(servers); do
		"$script" stop || failed=1
	done
	rm -f "$dir/env"
	exit $failed
	;;
status)
	failed=0
	for script in $(servers); do
		"$script" status || failed=1
	done
	exit $failed
	;;
*)
	sed -n '4,6s/^# *//p' "${BASH_SOURCE[0]}" >&2
	exit 2
	;;
esac
