#!/usr/bin/env bash
# All tests: those of the packages side by side, then one after the other those that look at the time that things take:
# whole services, and HTTP with its slow clients. A table of the slowest packages goes to standard error.
#
#   test-all.sh [FLAG…]    flags of go test
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

mapfile -t packages < <(go list ./... | grep -v -e '/test/' -e '/transport/httpapi$')
mapfile -t services < <(go list ./transport/httpapi ./test/...)
failed=0
go test "$@" "${packages[@]}" | tee "$log" || failed=1
go test "$@" -p 1 "${services[@]}" | tee -a "$log" || failed=1

echo "the slowest packages:" >&2
awk '($1 == "ok" || $1 == "FAIL") && $3 ~ /^[0-9.]+s$/ {printf "%8.1f s  %s\n", $3, $2}' "$log" | sort -rn | head -n 15 >&2
exit $failed
