-- +goose Up
-- When a refresh of the index began last, whichever process asked for it.
CREATE TABLE auditlog_search.refresh (
    began timestamptz NOT NULL
) WITH (fillfactor = 25);
INSERT INTO auditlog_search.refresh (began) VALUES ('-infinity');

-- +goose Down
DROP TABLE auditlog_search.refresh;
