-- +goose Up
-- One row per generation of the index: the live one, and the one that is being built.
CREATE TABLE generations (
    gen        INTEGER PRIMARY KEY,
    live       INTEGER NOT NULL,
    shut_until INTEGER NOT NULL DEFAULT 0 -- µs since 1970; 0: open
);
INSERT INTO generations (gen, live) VALUES (1, 1);

CREATE TABLE ranges (
    gen         INTEGER NOT NULL REFERENCES generations ON DELETE CASCADE,
    shard       INTEGER NOT NULL,
    from_offset INTEGER NOT NULL, -- exclusive
    to_offset   INTEGER NOT NULL, -- inclusive
    PRIMARY KEY (gen, shard, from_offset)
) WITHOUT ROWID;

CREATE TABLE visible (
    gen      INTEGER NOT NULL REFERENCES generations ON DELETE CASCADE,
    shard    INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    PRIMARY KEY (gen, shard)
) WITHOUT ROWID;

CREATE TABLE tenants (
    gen    INTEGER NOT NULL REFERENCES generations ON DELETE CASCADE,
    tenant BLOB    NOT NULL,
    purged INTEGER NOT NULL DEFAULT 0, -- position up to which documents are gone
    "group" TEXT   NOT NULL DEFAULT '', -- '': not placed yet
    PRIMARY KEY (gen, tenant)
) WITHOUT ROWID;

CREATE TABLE indices (
    gen  INTEGER NOT NULL REFERENCES generations ON DELETE CASCADE,
    name TEXT    NOT NULL,
    PRIMARY KEY (gen, name)
) WITHOUT ROWID;

CREATE TABLE scrubs (
    gen   INTEGER NOT NULL REFERENCES generations ON DELETE CASCADE,
    name  TEXT    NOT NULL,
    token INTEGER NOT NULL, -- grows with each asking
    PRIMARY KEY (gen, name)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE scrubs;
DROP TABLE indices;
DROP TABLE tenants;
DROP TABLE visible;
DROP TABLE ranges;
DROP TABLE generations;
