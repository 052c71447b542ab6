-- +goose Up
-- The keyring on PostgreSQL, in a database of its own: it is never inside the event store's backups. Free space in each
-- page lets a rewritten item take the place of old ones soon, and vacuum comes after few changes.
CREATE TABLE auditlog_keys.items (
    tenant uuid     NOT NULL,
    kind   smallint NOT NULL, -- 1 secrets, 2 lease, 3 chunk
    epoch  bigint   NOT NULL,
    level  smallint NOT NULL,
    index  bigint   NOT NULL,
    data   bytea    NOT NULL,
    PRIMARY KEY (tenant, kind, epoch, level, index)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
ALTER TABLE auditlog_keys.items ALTER data SET STORAGE PLAIN; -- at most some 2 KiB: never in a second table

-- +goose Down
DROP TABLE auditlog_keys.items;
