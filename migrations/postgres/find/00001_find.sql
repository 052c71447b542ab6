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

-- Who or whom an entry is about, as keyed tokens: no plaintext. Rows go with their entry; a token with its last row.
CREATE TABLE tokens (
    no     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tenant bigint NOT NULL,
    label  text COLLATE "C" NOT NULL, -- "actor" or "subject"
    token  bytea  NOT NULL,
    UNIQUE (tenant, label, token)
);
CREATE TABLE hits (
    token    bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (token, position)
);
CREATE TABLE entries (
    tenant   bigint NOT NULL,
    position bigint NOT NULL,
    token    bigint NOT NULL,
    PRIMARY KEY (tenant, position, token)
);

-- +goose Down
DROP TABLE entries;
DROP TABLE hits;
DROP TABLE tokens;
DROP FUNCTION hex;
DROP TABLE progress;
DROP TABLE erased;
DROP TABLE tenants;
