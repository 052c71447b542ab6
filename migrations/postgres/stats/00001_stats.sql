-- +goose Up
-- Shared by the read models (projection/readmodel): tenants with their watermark, erased entries, applied ranges. The
-- tables are in the schema of their generation.
CREATE TABLE tenants (
    no     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id     bytea  NOT NULL UNIQUE,
    purged bigint NOT NULL DEFAULT 0
);
CREATE TABLE erased (
    tenant   bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, position)
);
CREATE TABLE progress (
    shard       integer NOT NULL,
    from_offset bigint  NOT NULL, -- exclusive
    to_offset   bigint  NOT NULL, -- inclusive
    PRIMARY KEY (shard, from_offset)
) WITH (fillfactor = 25); -- few rows that change with every transaction

-- What SQLite has, for the statements that both homes share.
CREATE FUNCTION hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT
    RETURN upper(encode($1, 'hex')) COLLATE "C";

-- The public values by which entries are counted. They outlive an erasure and a purge.
CREATE TABLE combos (
    no            bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    action        text COLLATE "C" NOT NULL,
    severity      text COLLATE "C" NOT NULL,
    outcome       text COLLATE "C" NOT NULL,
    resource_type text COLLATE "C" NOT NULL,
    UNIQUE (action, severity, outcome, resource_type)
);

-- Actors as keyed tokens: no plaintext. A row goes with the last entry that counts under it. Number 0 is in no row: it
-- stands for all erased actors.
CREATE TABLE actors (
    no      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant  bigint NOT NULL,
    token   bytea  NOT NULL,
    entries bigint NOT NULL DEFAULT 0, -- how many count under it
    sample  bigint NOT NULL,           -- position of one of its entries
    UNIQUE (tenant, token)
) WITH (fillfactor = 80);

-- One row per entry, so that an erasure and a purge take away exactly what was counted.
CREATE TABLE entries (
    tenant   bigint NOT NULL,
    position bigint NOT NULL,
    occurred bigint NOT NULL, -- µs since 1970
    combo    bigint NOT NULL,
    actor    bigint NOT NULL,
    PRIMARY KEY (tenant, position)
);

-- Counts inside a minute that a query cuts, and by an actor and something else at once.
CREATE INDEX entries_by_time ON entries (tenant, occurred, combo, actor);

-- n entries of the unit (1, 60 or 1440 minutes) that starts start minutes after 1970, by the kind of key: 1 a
-- combination, 2 an actor. Not by both: with many actors that would be a row for each entry.
CREATE TABLE rollups (
    tenant bigint NOT NULL,
    unit   bigint NOT NULL,
    kind   bigint NOT NULL,
    start  bigint NOT NULL,
    key    bigint NOT NULL,
    n      bigint NOT NULL,
    PRIMARY KEY (tenant, unit, kind, start, key)
) WITH (fillfactor = 80);

-- +goose Down
DROP TABLE rollups;
DROP TABLE entries;
DROP TABLE actors;
DROP TABLE combos;
DROP FUNCTION hex;
DROP TABLE progress;
DROP TABLE erased;
DROP TABLE tenants;
