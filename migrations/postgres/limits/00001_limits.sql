-- +goose Up
-- What processes that share rates have claimed of a key. full_at is when its bucket is full again; a key at rest needs no
-- row. The rest is the last claim, kept so that one statement sees it beside the row. Times are since 1970, by the
-- database's clock. Unlogged: after a crash of the server buckets are full again, which harms nobody.
CREATE UNLOGGED TABLE auditlog_limits.buckets (
    rule       text COLLATE "C" NOT NULL,
    key        bytea            NOT NULL,
    full_at    bigint           NOT NULL, -- ns
    claimed_at bigint           NOT NULL, -- ns
    events     bigint           NOT NULL, -- per so many ns
    per        bigint           NOT NULL,
    spent      bigint           NOT NULL,
    wanted     bigint           NOT NULL,
    granted    bigint           NOT NULL,
    PRIMARY KEY (rule, key)
) WITH (fillfactor = 50);

-- The processes that share.
CREATE UNLOGGED TABLE auditlog_limits.processes (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL, -- host and process, for people
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 25);

-- +goose Down
DROP TABLE auditlog_limits.processes;
DROP TABLE auditlog_limits.buckets;
