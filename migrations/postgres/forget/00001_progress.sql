-- +goose Up
-- The ranges whose erasures have destroyed their keys.
CREATE TABLE progress (
    shard       integer NOT NULL,
    from_offset bigint  NOT NULL, -- exclusive
    to_offset   bigint  NOT NULL, -- inclusive
    PRIMARY KEY (shard, from_offset)
) WITH (fillfactor = 25); -- few rows that change with every transaction

-- +goose Down
DROP TABLE progress;
