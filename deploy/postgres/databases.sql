-- The databases and roles of the distributed tier, made once by a superuser, for psql:
--
--   psql -v ON_ERROR_STOP=1 -f databases.sql
--
-- Safe to repeat. Passwords come from the environment of psql: AUDITLOG_OWNER_PASSWORD, AUDITLOG_SERVICE_PASSWORD,
-- AUDITLOG_LIFECYCLE_PASSWORD, AUDITLOG_KEYS_PASSWORD; a role whose variable is not set gets none, and can then log in only
-- where the server asks for none or knows it otherwise (certificate, IAM). All else is made by `auditlog migrate`.
\getenv owner_password AUDITLOG_OWNER_PASSWORD
\getenv service_password AUDITLOG_SERVICE_PASSWORD
\getenv lifecycle_password AUDITLOG_LIFECYCLE_PASSWORD
\getenv keys_password AUDITLOG_KEYS_PASSWORD

-- auditlog_owner owns the tables and is used by `auditlog migrate` alone; auditlog_service is what the processes are;
-- auditlog_lifecycle is the only one that removes events; auditlog_keys owns the key database, which no other role reaches.
SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['auditlog_owner', 'auditlog_service', 'auditlog_lifecycle', 'auditlog_keys']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

\if :{?owner_password}
ALTER ROLE auditlog_owner PASSWORD :'owner_password';
\endif
\if :{?service_password}
ALTER ROLE auditlog_service PASSWORD :'service_password';
\endif
\if :{?lifecycle_password}
ALTER ROLE auditlog_lifecycle PASSWORD :'lifecycle_password';
\endif
\if :{?keys_password}
ALTER ROLE auditlog_keys PASSWORD :'keys_password';
\endif

SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
FROM (VALUES ('auditlog', 'auditlog_owner'), ('auditlog_keys', 'auditlog_keys')) AS wanted (name, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec

REVOKE ALL ON DATABASE auditlog, auditlog_keys FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE auditlog TO auditlog_service;
GRANT CONNECT ON DATABASE auditlog TO auditlog_lifecycle;

-- Only a superuser may create the extension. Without it the event store takes PostgreSQL's own partitions.
\connect auditlog
SELECT 'CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public'
WHERE EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
	AND current_setting('shared_preload_libraries') LIKE '%timescaledb%' \gexec
