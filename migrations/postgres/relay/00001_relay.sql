-- +goose Up
-- Who publishes a shard. A row is free without a holder and after its time, which is the database's. The rows change
-- often and are few: room in each page keeps the changes in it.
CREATE TABLE auditlog_relay.leases (
    shard      integer     PRIMARY KEY,
    holder     uuid,                 -- of members; null: given back
    epoch      bigint      NOT NULL, -- grows with each holder
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 25);

-- The processes that want leases: each may hold its share of them.
CREATE TABLE auditlog_relay.members (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL, -- host and process, for people
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 25);

-- Per (shard, destination) the offset up to which the bus took every envelope, and the epoch that moved it last.
CREATE TABLE auditlog_relay.cursors (
    shard       integer          NOT NULL,
    destination text COLLATE "C" NOT NULL,
    "offset"    bigint           NOT NULL,
    epoch       bigint           NOT NULL,
    PRIMARY KEY (shard, destination)
) WITH (fillfactor = 25);

-- Ranges that a projection could not apply and went past: from exclusive, to inclusive. at is µs since 1970.
CREATE TABLE auditlog_relay.parked (
    destination text COLLATE "C" NOT NULL,
    shard       integer          NOT NULL,
    from_offset bigint           NOT NULL,
    to_offset   bigint           NOT NULL,
    reason      text             NOT NULL,
    at          bigint           NOT NULL,
    PRIMARY KEY (destination, shard, from_offset, to_offset)
);

-- +goose Down
DROP TABLE auditlog_relay.parked;
DROP TABLE auditlog_relay.cursors;
DROP TABLE auditlog_relay.members;
DROP TABLE auditlog_relay.leases;
