#!/usr/bin/env bash
# The distributed tier on this machine: servers, databases, queues, then an API process and a worker beside it, until
# Ctrl-C. The servers stay; `make servers-down` ends them.
#
#   up.sh BINARY [PORT]    PORT is the API's (8080); the ops listeners take the two ports from OPS_PORT (9090) on
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
auditlog=$1 port=${2:-8080} ops=${OPS_PORT:-9090}
servers=${SERVERS_DIR:-$root/.servers}

"$root/scripts/servers/all.sh" start
set -a
# shellcheck disable=SC1091
. "$servers/env"
set +a
"$auditlog" migrate
"$auditlog" queues ensure

pids=()
finish() {
	trap '' INT TERM
	[ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait
}
trap finish EXIT
trap 'exit 0' INT TERM
# setsid keeps Ctrl-C from them: the API is told to end first, by finish, so that what it took still gets applied
setsid "$auditlog" api --addr "127.0.0.1:$port" --ops-addr "127.0.0.1:$ops" &
pids+=($!)
setsid "$auditlog" worker --ops-addr "127.0.0.1:$((ops + 1))" &
pids+=($!)
"$auditlog" ready --ops-addr "127.0.0.1:$ops" --wait 60s
"$auditlog" ready --ops-addr "127.0.0.1:$((ops + 1))" --wait 60s

# The tenant "demo" and a token for each role, as serve --quickstart makes them.
url=http://127.0.0.1:$port
admin=$("$auditlog" token --roles admin)
tenant=$(curl -sS "$url/api/v1/tenants" -H "Authorization: Bearer $admin" | grep -o '{[^{}]*"slug":"demo"[^{}]*}' || true)
if [ -z "$tenant" ]; then
	tenant=$(curl -sS --fail-with-body "$url/api/v1/tenants" -H "Authorization: Bearer $admin" \
		-H 'Content-Type: application/json' -d '{"slug":"demo","name":"Demo"}')
fi
id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$tenant")
echo "auditlog serves $url (docs at $url/docs, health at http://127.0.0.1:$ops/readyz)"
echo "tenant demo: $id"
for role in writer reader auditor tenant_admin; do
	rights=()
	[ "$role" != reader ] || rights=(--rights export)
	printf '  %-12s %s\n' "$role" "$("$auditlog" token --roles "$role" --tenant "$id" --ttl 24h "${rights[@]}")"
done
printf '  %-12s %s\n' admin "$admin"
wait -n "${pids[@]}"
