-- +goose Up
-- Ranges that a projection could not apply and went past: from exclusive, to inclusive. at is µs since 1970.
CREATE TABLE parked (
    destination TEXT    NOT NULL,
    shard       INTEGER NOT NULL,
    from_offset INTEGER NOT NULL,
    to_offset   INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (destination, shard, from_offset, to_offset)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE parked;
