-- +goose Up
-- The event store on PostgreSQL. Settings of the connection say what is fixed at this moment for ever: auditlog.shards,
-- and auditlog.span, the time that one chunk (or partition) holds.

CREATE TABLE auditlog.layout (
    one    boolean  PRIMARY KEY DEFAULT true CHECK (one),
    shards smallint NOT NULL CHECK (shards BETWEEN 1 AND 1024),
    span   interval NOT NULL CHECK (span >= interval '1 hour' AND span <= interval '31 days')
);
INSERT INTO auditlog.layout (shards, span)
VALUES (current_setting('auditlog.shards')::smallint, current_setting('auditlog.span')::interval);

CREATE TABLE auditlog.tenants (
    no             integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- surrogate, in order of creation
    id             uuid        NOT NULL CONSTRAINT tenants_id   UNIQUE,
    slug           text        NOT NULL CONSTRAINT tenants_slug UNIQUE,
    name           text        NOT NULL,
    status         text        NOT NULL,
    retention_days integer     NOT NULL,
    shard          smallint    NOT NULL,
    created_at     timestamptz NOT NULL
);

-- The head of a shard: whoever holds its row lock appends. previous_at is the time of the event before the newest flush;
-- pruned_at that of the newest flush whose row was removed. Updated in place by each flush, hence the free space.
CREATE TABLE auditlog.shards (
    shard       smallint PRIMARY KEY,
    "offset"    bigint   NOT NULL DEFAULT 0,
    recorded_at timestamptz,
    previous_at timestamptz,
    flushes     bigint   NOT NULL DEFAULT 0,
    pruned_at   timestamptz
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
INSERT INTO auditlog.shards (shard)
SELECT generate_series(0, current_setting('auditlog.shards')::integer - 1);

-- The heads of tenants, changed under the lock of their shard's row. purged is the watermark: positions at or below it
-- answer no read.
CREATE TABLE auditlog.heads (
    tenant      integer PRIMARY KEY,
    position    bigint  NOT NULL DEFAULT 0,
    "offset"    bigint  NOT NULL DEFAULT 0,
    recorded_at timestamptz,
    previous_at timestamptz,
    purged      bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.05);

-- The first event of a shard, and of a tenant, in each chunk. They tell which chunk a number lies in, so that no read
-- opens another; times rise with numbers, so the next mark ends the range of this one.
CREATE TABLE auditlog.shard_marks (
    shard       smallint    NOT NULL,
    first       bigint      NOT NULL, -- offset
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (shard, first)
);
CREATE TABLE auditlog.tenant_marks (
    tenant      integer     NOT NULL,
    first       bigint      NOT NULL, -- position
    "offset"    bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, first)
);

-- One entry per tenant and idempotency key. A hypertable's unique index must contain its time column, so this is held in
-- an ordinary table. Token and fingerprint are the first 16 bytes of keyed hashes.
CREATE TABLE auditlog.idempotency (
    token       uuid        NOT NULL,
    fingerprint uuid        NOT NULL,
    recorded_at timestamptz NOT NULL,
    position    bigint      NOT NULL CHECK (position >= 1),
    tenant      integer     NOT NULL,
    CONSTRAINT idempotency_key PRIMARY KEY (tenant, token)
);

-- Amendments and erasures by the entry that they are about.
CREATE TABLE auditlog.about (
    entry       uuid        NOT NULL,
    id          uuid        NOT NULL, -- of the amendment or erasure, as all that follows
    recorded_at timestamptz NOT NULL,
    position    bigint      NOT NULL,
    tenant      integer     NOT NULL,
    erasure     boolean     NOT NULL,
    PRIMARY KEY (tenant, entry, position)
);
CREATE UNIQUE INDEX about_erasure ON auditlog.about (tenant, entry) WHERE erasure;
CREATE INDEX about_newest_erasure ON auditlog.about (tenant, position) WHERE erasure;

-- The newest flushes, so that one whose answer was lost can be answered again. statuses has a byte for each draft; NULL:
-- every draft was stored.
CREATE TABLE auditlog.flushes (
    id          uuid        NOT NULL CONSTRAINT flushes_id UNIQUE,
    seq         bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    shard       smallint    NOT NULL,
    statuses    bytea,
    PRIMARY KEY (shard, seq)
);

-- What stays of an event that retention removed.
CREATE TABLE auditlog.removed (
    recorded_at timestamptz NOT NULL,
    "offset"    bigint      NOT NULL,
    position    bigint      NOT NULL,
    tenant      integer     NOT NULL,
    id          uuid        NOT NULL CONSTRAINT removed_id UNIQUE,
    leaf        bytea       NOT NULL CHECK (octet_length(leaf) = 32),
    PRIMARY KEY (tenant, position)
);

CREATE TABLE auditlog.purges (
    no           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           uuid        NOT NULL UNIQUE, -- of the lifecycle.purged event
    tenant       integer     NOT NULL,
    position     bigint      NOT NULL,
    before       timestamptz NOT NULL,
    first        bigint      NOT NULL,
    last         bigint      NOT NULL,
    removed      bigint      NOT NULL DEFAULT 0,
    status       text        NOT NULL CHECK (status IN ('running', 'done')),
    requested_at timestamptz NOT NULL,
    completed_at timestamptz
);
CREATE INDEX purges_tenant ON auditlog.purges (tenant);
CREATE UNIQUE INDEX purges_running ON auditlog.purges (tenant) WHERE status = 'running';

-- +goose Down
DROP TABLE auditlog.purges, auditlog.removed, auditlog.flushes, auditlog.about, auditlog.idempotency, auditlog.tenant_marks,
    auditlog.shard_marks, auditlog.heads, auditlog.shards, auditlog.tenants, auditlog.layout;
