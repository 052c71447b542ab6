-- +goose Up
-- The account beside an OpenSearch index. One row per generation of the index: the live one, and the one that is being
-- built. Whoever writes anything of a generation locks its row, shared; whoever changes generations locks the table first.
CREATE TABLE auditlog_search.generations (
    gen        integer PRIMARY KEY,
    live       boolean NOT NULL,
    shut_until bigint  NOT NULL DEFAULT 0 -- µs since 1970; 0: open
);
CREATE UNIQUE INDEX one_live ON auditlog_search.generations (live) WHERE live;
INSERT INTO auditlog_search.generations (gen, live) VALUES (1, true);

-- Numbers are used once: an unfinished generation's writers must not meet the next one.
CREATE TABLE auditlog_search.last_generation (gen integer NOT NULL);
INSERT INTO auditlog_search.last_generation (gen) VALUES (1);

CREATE TABLE auditlog_search.ranges (
    gen     integer        NOT NULL REFERENCES auditlog_search.generations ON DELETE CASCADE,
    shard   integer        NOT NULL,
    applied int8multirange NOT NULL, -- offsets
    PRIMARY KEY (gen, shard)
) WITH (fillfactor = 25);

CREATE TABLE auditlog_search.visible (
    gen      integer NOT NULL REFERENCES auditlog_search.generations ON DELETE CASCADE,
    shard    integer NOT NULL,
    "offset" bigint  NOT NULL,
    PRIMARY KEY (gen, shard)
) WITH (fillfactor = 25);

CREATE TABLE auditlog_search.tenants (
    gen     integer NOT NULL REFERENCES auditlog_search.generations ON DELETE CASCADE,
    tenant  uuid    NOT NULL,
    purged  bigint  NOT NULL DEFAULT 0,  -- position up to which documents are gone
    "group" text    NOT NULL DEFAULT '', -- '': not placed yet
    PRIMARY KEY (gen, tenant)
);

CREATE TABLE auditlog_search.indices (
    gen    integer          NOT NULL REFERENCES auditlog_search.generations ON DELETE CASCADE,
    name   text COLLATE "C" NOT NULL,
    status smallint         NOT NULL DEFAULT 0, -- 1: being taken out, 2: dropped, its name is spent
    token  bigint           NOT NULL DEFAULT 0, -- grows with each retiring
    PRIMARY KEY (gen, name)
);

CREATE TABLE auditlog_search.scrubs (
    gen   integer          NOT NULL REFERENCES auditlog_search.generations ON DELETE CASCADE,
    name  text COLLATE "C" NOT NULL,
    token bigint           NOT NULL,
    PRIMARY KEY (gen, name)
);
-- A token names one asking: it is not used again after the row went.
CREATE SEQUENCE auditlog_search.scrub_tokens;

-- +goose Down
DROP SEQUENCE auditlog_search.scrub_tokens;
DROP TABLE auditlog_search.scrubs;
DROP TABLE auditlog_search.indices;
DROP TABLE auditlog_search.tenants;
DROP TABLE auditlog_search.visible;
DROP TABLE auditlog_search.ranges;
DROP TABLE auditlog_search.last_generation;
DROP TABLE auditlog_search.generations;
