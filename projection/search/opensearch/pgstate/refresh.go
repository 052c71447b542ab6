package pgstate

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// RefreshTurn implements opensearch.State, by the database's clock. One that was set back lets the next one go ahead. Who
// loses against another process sees the time before that, and asks again at once.
func (s *State) RefreshTurn(ctx context.Context, every time.Duration) (time.Duration, error) {
	left, err := collect(ctx, s, "take a turn to refresh", pgx.RowTo[int64], `
		WITH turn AS (
			UPDATE auditlog_search.refresh SET began = clock_timestamp()
			WHERE began NOT BETWEEN clock_timestamp() - $1::interval AND clock_timestamp() RETURNING began
		)
		SELECT CASE WHEN EXISTS (SELECT FROM turn) THEN 0
			ELSE greatest(1000, extract(epoch FROM began + $1::interval - clock_timestamp()) * 1e6) END::bigint
		FROM auditlog_search.refresh`, every)
	if err != nil || len(left) == 0 {
		return 0, err
	}
	return min(time.Duration(left[0])*time.Microsecond, every), nil
}
