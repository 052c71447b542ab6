-- +goose Up
-- What the lifecycle role may have done to whole chunks (or native partitions), of which it owns none. A chunk is named by
-- the time at which it begins. drop_empty_chunk drops none that holds an event, whoever asks.

-- +goose StatementBegin
CREATE FUNCTION auditlog.chunk_at(low timestamptz) RETURNS regclass
LANGUAGE plpgsql STABLE SET search_path = '' AS $do$
DECLARE
    span constant interval := (SELECT l.span FROM auditlog.layout l);
BEGIN
    IF (SELECT c.relkind FROM pg_catalog.pg_class c WHERE c.oid = 'auditlog.events'::regclass) <> 'p' THEN
        RETURN (SELECT pg_catalog.format('%I.%I', c.chunk_schema, c.chunk_name)::regclass FROM timescaledb_information.chunks c
            WHERE c.hypertable_schema = 'auditlog' AND c.hypertable_name = 'events' AND c.range_start = low);
    ELSIF date_bin(span, low, timestamptz '1970-01-01 00:00:00+00') = low THEN
        RETURN to_regclass('auditlog.events_' || to_char(low AT TIME ZONE 'UTC', 'YYYYMMDD_HH24')); -- as ensure_partition names it
    END IF;
    RETURN NULL;
END
$do$;
-- +goose StatementEnd

-- The lock of a native partition's parent stops all readers and writers, hence the short wait: it is tried again later.
-- +goose StatementBegin
CREATE FUNCTION auditlog.drop_empty_chunk(low timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET lock_timeout = '200ms' AS $do$
DECLARE
    high constant timestamptz := low + (SELECT l.span FROM auditlog.layout l);
    chunk constant regclass := auditlog.chunk_at(low);
    plain constant boolean := (SELECT c.relkind FROM pg_catalog.pg_class c WHERE c.oid = 'auditlog.events'::regclass) = 'p';
BEGIN
    IF chunk IS NULL OR EXISTS (SELECT FROM auditlog.events e WHERE e.recorded_at >= low AND e.recorded_at < high) THEN
        RETURN false;
    END IF;
    IF plain THEN
        LOCK TABLE ONLY auditlog.events IN ACCESS EXCLUSIVE MODE;
    END IF;
    EXECUTE pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', chunk);
    IF EXISTS (SELECT FROM auditlog.events e WHERE e.recorded_at >= low AND e.recorded_at < high) THEN -- by now
        RETURN false;
    END IF;
    IF plain THEN
        EXECUTE pg_catalog.format('DROP TABLE %s', chunk);
    ELSE
        EXECUTE pg_catalog.format('SELECT %I.drop_chunks(%L, older_than => %L::timestamptz, newer_than => %L::timestamptz)',
            (SELECT n.nspname FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'timescaledb'),
            'auditlog.events', high, low);
    END IF;
    RETURN true;
END
$do$;
-- +goose StatementEnd

-- The next two need TimescaleDB's Community edition. A chunk that changed since it was turned into columns is turned again.
-- +goose StatementBegin
CREATE FUNCTION auditlog.chunk_to_columns(low timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $do$
BEGIN
    EXECUTE pg_catalog.format('CALL %I.convert_to_columnstore(%L::regclass, if_not_columnstore => true)',
        (SELECT n.nspname FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'timescaledb'),
        auditlog.chunk_at(low)::text);
END
$do$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION auditlog.chunks_to_rows(low timestamptz, high timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $do$
DECLARE
    home constant name := (SELECT n.nspname FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'timescaledb');
    chunk text;
BEGIN
    FOR chunk IN
        SELECT pg_catalog.format('%I.%I', c.chunk_schema, c.chunk_name) FROM timescaledb_information.chunks c
        WHERE c.hypertable_schema = 'auditlog' AND c.hypertable_name = 'events' AND c.is_compressed AND c.range_start < high AND c.range_end > low
    LOOP
        EXECUTE pg_catalog.format('CALL %I.convert_to_rowstore(%L::regclass, if_columnstore => true)', home, chunk);
    END LOOP;
END
$do$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION auditlog.chunk_at(timestamptz), auditlog.drop_empty_chunk(timestamptz), auditlog.chunk_to_columns(timestamptz),
    auditlog.chunks_to_rows(timestamptz, timestamptz) FROM PUBLIC;

-- +goose Down
DROP FUNCTION auditlog.chunks_to_rows(timestamptz, timestamptz);
DROP FUNCTION auditlog.chunk_to_columns(timestamptz);
DROP FUNCTION auditlog.drop_empty_chunk(timestamptz);
DROP FUNCTION auditlog.chunk_at(timestamptz);
