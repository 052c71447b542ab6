-- +goose Up
-- Which generation of each projection is live: number n has its tables in the schema <this schema>_<name>_<n>.
CREATE TABLE generations (
    name text   PRIMARY KEY,
    live bigint NOT NULL
);

-- +goose Down
DROP TABLE generations;
