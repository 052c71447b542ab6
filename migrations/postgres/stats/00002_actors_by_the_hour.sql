-- +goose Up
-- Actors are counted by the hour and the day; inside an hour the entries tell.
DELETE FROM rollups WHERE unit = 1 AND kind = 2;

-- +goose Down
SELECT 1; -- a rebuild counts by the minute again
