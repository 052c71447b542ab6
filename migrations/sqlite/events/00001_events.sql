-- +goose Up
-- The event store of the embedded tier: one shard, so an event's offset is its row id. What an append must write is
-- kept small: no head rows (the newest row is the head), surrogate numbers for tenants, side tables only for the
-- events that need them.

CREATE TABLE tenants (
    no             INTEGER PRIMARY KEY, -- surrogate, in order of creation
    id             BLOB    NOT NULL UNIQUE,
    slug           TEXT    NOT NULL UNIQUE,
    name           TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    retention_days INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    purged         INTEGER NOT NULL DEFAULT 0 -- watermark: positions at or below it answer no read
);

-- Columns that are looked at without the bytes come first: the bytes may spill to overflow pages.
CREATE TABLE events (
    "offset"    INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL, -- tenants.no
    position    INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL, -- microseconds since 1970
    id          BLOB    NOT NULL,
    type                NOT NULL, -- a small integer for the types of this version, else the type's text
    entry_id    BLOB,             -- of amendments and erasures
    key_epoch   INTEGER NOT NULL,
    key_index   INTEGER NOT NULL,
    public      BLOB    NOT NULL,
    private     BLOB
);
CREATE UNIQUE INDEX events_position ON events (tenant, position); -- with the row id in it: position to offset
CREATE UNIQUE INDEX events_id ON events (id); -- UUIDv7: inserts meet in the rightmost pages, whatever the tenant

-- Amendments and erasures by the entry that they are about.
CREATE TABLE about (
    tenant   INTEGER NOT NULL,
    entry    BLOB    NOT NULL,
    position INTEGER NOT NULL, -- of the amendment or erasure
    erasure  INTEGER NOT NULL, -- 1 for an erasure
    PRIMARY KEY (tenant, entry, position)
) WITHOUT ROWID;
CREATE INDEX about_erasures ON about (tenant, position) WHERE erasure = 1; -- the newest one, for every head

-- One entry per tenant and idempotency key. Tokens and fingerprints are keyed hashes.
CREATE TABLE idempotency (
    tenant      INTEGER NOT NULL,
    token       BLOB    NOT NULL,
    fingerprint BLOB    NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (tenant, token)
) WITHOUT ROWID;

-- The newest flushes, so that one whose answer was lost can be answered again. statuses has a byte for each draft;
-- NULL: every draft was stored.
CREATE TABLE flushes (
    seq      INTEGER PRIMARY KEY,
    id       BLOB NOT NULL,
    statuses BLOB
);

-- What stays of an event that retention removed.
CREATE TABLE removed (
    tenant      INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    "offset"    INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    id          BLOB    NOT NULL,
    leaf        BLOB    NOT NULL,
    PRIMARY KEY (tenant, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX removed_id ON removed (id);

CREATE TABLE purges (
    no           INTEGER PRIMARY KEY,
    id           BLOB    NOT NULL UNIQUE, -- of the lifecycle.purged event
    tenant       INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    before       INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    last         INTEGER NOT NULL,
    removed      INTEGER NOT NULL DEFAULT 0,
    status       TEXT    NOT NULL,
    requested_at INTEGER NOT NULL,
    completed_at INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX purges_tenant ON purges (tenant);
CREATE UNIQUE INDEX purges_running ON purges (tenant) WHERE status = 'running';

-- +goose Down
DROP TABLE purges;
DROP TABLE removed;
DROP TABLE flushes;
DROP TABLE idempotency;
DROP TABLE about;
DROP TABLE events;
DROP TABLE tenants;
