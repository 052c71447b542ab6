-- +goose Up
-- What the file was made for. Another number of shards or other token rules: the file is built anew.
CREATE TABLE made_for (
    shards INTEGER NOT NULL,
    rules  INTEGER NOT NULL
);

-- Tenants go by a small number within the file: it stands before every token, so that a tenant's postings lie apart.
CREATE TABLE tenants (
    num    INTEGER PRIMARY KEY,
    id     BLOB    NOT NULL UNIQUE,
    purged INTEGER NOT NULL DEFAULT 0 -- watermark: no document at or below this position
);

-- id = offset * shards + shard of the recording event, so the order of ids is the order of positions within a tenant.
CREATE TABLE docs (
    id          INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    kind        INTEGER NOT NULL, -- 0: entries, 1: access
    position    INTEGER NOT NULL,
    version     INTEGER NOT NULL, -- position of the newest event that is held
    occurred_at INTEGER NOT NULL, -- microseconds
    recorded_at INTEGER NOT NULL  -- microseconds; never decreases with position
);
CREATE UNIQUE INDEX docs_position ON docs (tenant, kind, position);
CREATE INDEX docs_occurred ON docs (tenant, kind, occurred_at, position);

-- Tokens are made in Go; this tokenizer splits them at spaces and changes nothing. detail=none keeps one row id per token
-- and document: queries are ANDs and ORs of single tokens. The content is stored so that secure-delete can take it out.
CREATE VIRTUAL TABLE tokens USING fts5 (
    t, detail = 'none', columnsize = 0, tokenize = "ascii tokenchars '.-_+/:@\~'"
);
INSERT INTO tokens (tokens, rank) VALUES ('secure-delete', 1);
-- Small pages: a search that skips to a row id decodes one page of each list.
INSERT INTO tokens (tokens, rank) VALUES ('pgsz', 1000);
-- Fewer, larger merges and flushes: an envelope's transaction writes one small segment.
INSERT INTO tokens (tokens, rank) VALUES ('automerge', 8);
INSERT INTO tokens (tokens, rank) VALUES ('hashsize', 8388608);

CREATE TABLE progress (
    shard       INTEGER NOT NULL,
    from_offset INTEGER NOT NULL, -- exclusive
    to_offset   INTEGER NOT NULL, -- inclusive
    PRIMARY KEY (shard, from_offset)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE progress;
DROP TABLE tokens;
DROP TABLE docs;
DROP TABLE tenants;
DROP TABLE made_for;
