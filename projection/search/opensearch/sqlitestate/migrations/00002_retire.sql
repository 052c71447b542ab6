-- +goose Up
ALTER TABLE indices ADD COLUMN status INTEGER NOT NULL DEFAULT 0; -- 1: being taken out, 2: dropped, its name is spent
ALTER TABLE indices ADD COLUMN token INTEGER NOT NULL DEFAULT 0; -- grows with each retiring

-- +goose Down
DELETE FROM indices WHERE status = 2;
ALTER TABLE indices DROP COLUMN token;
ALTER TABLE indices DROP COLUMN status;
