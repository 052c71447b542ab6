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

-- Who or whom an entry is about, as keyed tokens: no plaintext. Rows go with their entry; a token with its last row.
CREATE TABLE tokens (
    no     INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    label  TEXT    NOT NULL, -- "actor" or "subject"
    token  BLOB    NOT NULL,
    UNIQUE (tenant, label, token)
);
CREATE TABLE hits (
    token    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (token, position)
) WITHOUT ROWID;
CREATE TABLE entries (
    tenant   INTEGER NOT NULL,
    position INTEGER NOT NULL,
    token    INTEGER NOT NULL,
    PRIMARY KEY (tenant, position, token)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE entries;
DROP TABLE hits;
DROP TABLE tokens;
DROP TABLE progress;
DROP TABLE erased;
DROP TABLE tenants;
