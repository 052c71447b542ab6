#!/usr/bin/env bash
# Runs a command, e.g. go test, with real servers in its environment.
#
#   with-servers.sh COMMAND…
#
# A server that the environment names is used: AUDITLOG_TEST_POSTGRES (as its superuser), AUDITLOG_TEST_OPENSEARCH,
# AWS_ENDPOINT_URL_SQS on this machine. One that make servers started is used, too. Others are started, and ended with the
# command, however it ends. Settings of the service are taken out: tests say themselves where theirs lies.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
servers=$root/scripts/servers

for name in $(compgen -e AUDITLOG_); do
	case $name in
	AUDITLOG_TEST_* | AUDITLOG_SAMPLE | AUDITLOG_FAULT_*) ;;
	*) unset "$name" ;;
	esac
done

wanted=()
[ -n "${AUDITLOG_TEST_POSTGRES:-}" ] || wanted+=(timescaledb)
[ -n "${AUDITLOG_TEST_OPENSEARCH:-}" ] || wanted+=(opensearch)
case ${AWS_ENDPOINT_URL_SQS:-} in
http://127.0.0.1* | http://localhost*) ;;
*) wanted+=(elasticmq) ;; # another may be an account in earnest
esac

started=()
finish() {
	trap '' INT TERM
	[ "${#started[@]}" -eq 0 ] || "$servers/all.sh" stop "${started[@]}"
}
trap finish EXIT
trap 'exit 130' INT TERM

running=$("$servers/all.sh" status || true)
for name in ${wanted[@]+"${wanted[@]}"}; do
	grep -qx "$name runs" <<<"$running" || started+=("$name")
done
if [ "${#wanted[@]}" -gt 0 ]; then
	"$servers/all.sh" start "${wanted[@]}"
	while IFS= read -r line; do export "${line?}"; done < <("$servers/all.sh" env "${wanted[@]}")
fi
"$@"
