-- +goose Up
-- Per (shard, destination) the offset up to which the bus took every envelope.
CREATE TABLE cursors (
    shard       INTEGER NOT NULL,
    destination TEXT    NOT NULL,
    "offset"    INTEGER NOT NULL,
    PRIMARY KEY (shard, destination)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE cursors;
