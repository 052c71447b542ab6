-- +goose Up
-- A key in four numbers: 60 bytes instead of 84 in the table, 29 instead of 52 in its index (ADR 21). slot is half of the
-- key's token, mixed with the tenant's id, and rest the other half; a key whose slot another one holds has the next free
-- one. Rows never leave, so a key is found from its own slot on, before the first free one. fingerprint is 64 bits of a
-- keyed hash. The event's time and id are found by its position.
--
-- Nobody appends while this runs: it locks the old table at once, and copies it. It took 18 s for a million keys on a busy
-- machine, and takes room for them twice until it ends.
SET LOCAL statement_timeout = 0;
CREATE TABLE auditlog.narrow_keys (
    slot        bigint NOT NULL CONSTRAINT narrow_key PRIMARY KEY,
    rest        bigint NOT NULL,
    fingerprint bigint NOT NULL,
    position    bigint NOT NULL CONSTRAINT narrow_keys_position CHECK (position >= 1)
);
LOCK TABLE auditlog.idempotency IN ACCESS EXCLUSIVE MODE;

-- +goose StatementBegin
DO $do$
DECLARE
    k record;
    at bigint;
    stored bigint;
BEGIN
    CREATE VIEW auditlog.wide_keys AS
    SELECT ('x' || left(w.token, 16))::bit(64)::bigint # ('x' || left(w.tenant, 16))::bit(64)::bigint AS slot,
        ('x' || right(w.token, 16))::bit(64)::bigint # ('x' || right(w.tenant, 16))::bit(64)::bigint AS rest,
        ('x' || left(w.fingerprint, 16))::bit(64)::bigint AS fingerprint, w.position
    FROM (
        SELECT encode(uuid_send(i.token), 'hex') AS token, encode(uuid_send(t.id), 'hex') AS tenant,
            encode(uuid_send(i.fingerprint), 'hex') AS fingerprint, i.position
        FROM auditlog.idempotency i JOIN auditlog.tenants t ON t.no = i.tenant
    ) w;
    -- In the order of the index, whose pages are filled one after the other that way.
    INSERT INTO auditlog.narrow_keys (slot, rest, fingerprint, position)
    SELECT w.slot, w.rest, w.fingerprint, w.position FROM auditlog.wide_keys w ORDER BY w.slot, w.rest
    ON CONFLICT ON CONSTRAINT narrow_key DO NOTHING;
    GET DIAGNOSTICS stored = ROW_COUNT;
    IF stored < (SELECT count(*) FROM auditlog.idempotency) THEN
        FOR k IN
            SELECT w.* FROM auditlog.wide_keys w LEFT JOIN auditlog.narrow_keys n ON n.slot = w.slot AND n.rest = w.rest WHERE n.slot IS NULL
            ORDER BY w.slot, w.rest
        LOOP
            at := k.slot;
            LOOP
                at := CASE WHEN at = 9223372036854775807 THEN -at - 1 ELSE at + 1 END; -- behind the last comes the first
                INSERT INTO auditlog.narrow_keys VALUES (at, k.rest, k.fingerprint, k.position) ON CONFLICT ON CONSTRAINT narrow_key DO NOTHING;
                EXIT WHEN FOUND;
            END LOOP;
        END LOOP;
    END IF;
    DROP VIEW auditlog.wide_keys;
END
$do$;
-- +goose StatementEnd

DROP TABLE auditlog.idempotency;
ALTER TABLE auditlog.narrow_keys RENAME TO idempotency;
ALTER TABLE auditlog.idempotency RENAME CONSTRAINT narrow_key TO idempotency_key;
ALTER TABLE auditlog.idempotency RENAME CONSTRAINT narrow_keys_position TO idempotency_position;

-- +goose Down
-- The tokens are gone: a database that holds keys goes back by its backup.
-- +goose StatementBegin
DO $do$
BEGIN
    IF EXISTS (SELECT FROM auditlog.idempotency) THEN
        RAISE EXCEPTION 'the keys of this version cannot be turned into those of the one before';
    END IF;
END
$do$;
-- +goose StatementEnd
DROP TABLE auditlog.idempotency;
CREATE TABLE auditlog.idempotency (
    token       uuid        NOT NULL,
    fingerprint uuid        NOT NULL,
    recorded_at timestamptz NOT NULL,
    position    bigint      NOT NULL CHECK (position >= 1),
    tenant      integer     NOT NULL,
    CONSTRAINT idempotency_key PRIMARY KEY (tenant, token)
);
