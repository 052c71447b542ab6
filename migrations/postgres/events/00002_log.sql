-- +goose Up
-- The log itself: a hypertable where this database has the extension, else a table with native partitions. Both are
-- divided by recorded_at. Wide columns come first, so that nothing is lost to alignment. key_epoch and key_index hold
-- unsigned numbers of 32 bits as signed ones.

-- +goose StatementBegin
DO $do$
DECLARE
    hyper constant boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb');
    home text;
BEGIN
    EXECUTE $sql$
        CREATE TABLE auditlog.events (
            recorded_at timestamptz NOT NULL,
            "offset"    bigint      NOT NULL,
            position    bigint      NOT NULL,
            tenant      integer     NOT NULL,
            key_epoch   integer     NOT NULL,
            key_index   integer     NOT NULL,
            shard       smallint    NOT NULL,
            id          uuid        NOT NULL,
            entry_id    uuid,
            type        text        COLLATE "C" NOT NULL,
            public      bytea       NOT NULL,
            private     bytea
        )$sql$ || CASE WHEN hyper THEN '' ELSE ' PARTITION BY RANGE (recorded_at)' END;
    -- The parts are compressed or encrypted already.
    ALTER TABLE auditlog.events ALTER public SET STORAGE EXTERNAL, ALTER private SET STORAGE EXTERNAL;
    IF hyper THEN
        SELECT n.nspname INTO STRICT home FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE extname = 'timescaledb';
        EXECUTE format('SELECT %I.create_hypertable(%L, %L, chunk_time_interval => %L::interval, create_default_indexes => false)',
            home, 'auditlog.events', 'recorded_at', (SELECT span FROM auditlog.layout));
    END IF;
END
$do$;
-- +goose StatementEnd
CREATE UNIQUE INDEX events_offset   ON auditlog.events (shard, "offset", recorded_at);
CREATE UNIQUE INDEX events_position ON auditlog.events (tenant, position, recorded_at);
CREATE UNIQUE INDEX events_id       ON auditlog.events (id, recorded_at); -- UUIDv7: inserts meet in the rightmost pages

-- ensure_partition makes the partition for a time where partitions are native, and does nothing else. It belongs to the
-- owner of the table, so that the service can have one made though it may not change tables.
-- +goose StatementBegin
CREATE FUNCTION auditlog.ensure_partition(at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $do$
DECLARE
    span constant interval := (SELECT l.span FROM auditlog.layout l);
    low  constant timestamptz := date_bin(span, at, timestamptz '1970-01-01 00:00:00+00');
    name constant text := 'events_' || to_char(low AT TIME ZONE 'UTC', 'YYYYMMDD_HH24');
BEGIN
    IF (SELECT c.relkind FROM pg_catalog.pg_class c WHERE c.oid = 'auditlog.events'::regclass) <> 'p'
        OR to_regclass('auditlog.' || name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(7402, 3);
    IF to_regclass('auditlog.' || name) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Attached rather than created as a partition: that does not wait for readers and writers, nor they for it.
    EXECUTE format('CREATE TABLE auditlog.%I (LIKE auditlog.events INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE auditlog.events ATTACH PARTITION auditlog.%I FOR VALUES FROM (%L) TO (%L)', name, low, low + span);
END
$do$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION auditlog.ensure_partition(timestamptz) FROM PUBLIC;

-- +goose Down
DROP FUNCTION auditlog.ensure_partition(timestamptz);
DROP TABLE auditlog.events;
