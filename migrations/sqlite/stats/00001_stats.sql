-- +goose Up
-- Shared by the read models (projection/readmodel): tenants with their watermark, erased entries, applied ranges.
CREATE TABLE tenants (
    no     INTEGER PRIMARY KEY,
    id     BLOB    NOT NULL UNIQUE,
    purged INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE erased (
    tenant   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tenant, position)
) WITHOUT ROWID;
CREATE TABLE progress (
    shard       INTEGER NOT NULL,
    from_offset INTEGER NOT NULL, -- exclusive
    to_offset   INTEGER NOT NULL, -- inclusive
    PRIMARY KEY (shard, from_offset)
) WITHOUT ROWID;

-- The public values by which entries are counted. They outlive an erasure and a purge.
CREATE TABLE combos (
    no            INTEGER PRIMARY KEY,
    action        TEXT NOT NULL,
    severity      TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    UNIQUE (action, severity, outcome, resource_type)
);

-- Actors as keyed tokens: no plaintext. A row goes with the last entry that counts under it. Number 0 is in no row: it
-- stands for all erased actors.
CREATE TABLE actors (
    no      INTEGER PRIMARY KEY,
    tenant  INTEGER NOT NULL,
    token   BLOB    NOT NULL,
    entries INTEGER NOT NULL DEFAULT 0, -- how many count under it
    sample  INTEGER NOT NULL,           -- position of one of its entries
    UNIQUE (tenant, token)
);

-- One row per entry, so that an erasure and a purge take away exactly what was counted.
CREATE TABLE entries (
    tenant   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    occurred INTEGER NOT NULL, -- µs since 1970
    combo    INTEGER NOT NULL,
    actor    INTEGER NOT NULL,
    PRIMARY KEY (tenant, position)
) WITHOUT ROWID;

-- Counts inside a minute that a query cuts, and by an actor and something else at once.
CREATE INDEX entries_by_time ON entries (tenant, occurred, combo, actor);

-- n entries of the unit (1, 60 or 1440 minutes) that starts start minutes after 1970, by the kind of key: 1 a
-- combination, 2 an actor. Not by both: with many actors that would be a row for each entry.
CREATE TABLE rollups (
    tenant INTEGER NOT NULL,
    unit   INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    start  INTEGER NOT NULL,
    key    INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (tenant, unit, kind, start, key)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE rollups;
DROP TABLE entries;
DROP TABLE actors;
DROP TABLE combos;
DROP TABLE progress;
DROP TABLE erased;
DROP TABLE tenants;
