#!/usr/bin/env bash
# Prints the .env of compose.yaml with secrets of its own. `make compose-env` writes it once: the databases in the volumes
# keep the passwords with which they were made, and without AUDITLOG_KEYS_SECRET the tenants' keys are lost.
set -euo pipefail
for name in POSTGRES_PASSWORD AUDITLOG_OWNER_PASSWORD AUDITLOG_SERVICE_PASSWORD AUDITLOG_LIFECYCLE_PASSWORD \
	AUDITLOG_KEYS_PASSWORD AUDITLOG_KEYS_SECRET AUDITLOG_JWT_SECRET; do
	echo "$name=$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')"
done
