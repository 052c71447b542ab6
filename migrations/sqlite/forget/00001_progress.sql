-- +goose Up
-- The ranges whose erasures have destroyed their keys.
CREATE TABLE progress (
    shard       INTEGER NOT NULL,
    from_offset INTEGER NOT NULL, -- exclusive
    to_offset   INTEGER NOT NULL, -- inclusive
    PRIMARY KEY (shard, from_offset)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE progress;
