package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// replayTurns is how often each side of the replay takes its turn.
const replayTurns = 3

// replay compares the replay of a tenant with COPY of the same rows out of the database, as text.
func (m *serverLine) replay(ctx context.Context) error {
	var tenant int
	err := m.db.QueryRow(ctx, `SELECT no FROM auditlog.tenants WHERE slug = 'bench-1'`).Scan(&tenant)
	if err != nil {
		return err
	}
	out := `COPY (SELECT ` + columnList() + fmt.Sprintf(` FROM auditlog.events WHERE tenant = %d) TO STDOUT`, tenant)
	var ours, bare time.Duration
	var rows, bytes int64
	for range replayTurns {
		start := time.Now()
		tag, err := m.db.PgConn().CopyTo(ctx, io.Discard, out)
		if err != nil {
			return err
		}
		bare += time.Since(start)
		rows += tag.RowsAffected()
		start = time.Now()
		resp, err := m.apis[0].get(ctx, "/api/v1/replay?after=0", "auditor", "*/*")
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		ours += time.Since(start)
		bytes += n
	}
	if rows < int64(replayTurns*m.Entries) {
		return errors.New("COPY gave fewer rows than were stored")
	}
	n := float64(rows)
	return m.report(Line{
		Name: "replay to NDJSON / COPY TO STDOUT", Value: bare.Seconds() / ours.Seconds(), Unit: "ratio", Least: true, Floor: 0.3, Goal: 0.7,
		Cache: "warm", Workers: "on", Connections: 1, Samples: int(rows), Entries: m.Entries,
		Sides: map[string]float64{"replay_entries_per_s": n / ours.Seconds(), "copy_entries_per_s": n / bare.Seconds(), "replay_MB": float64(bytes) / replayTurns / 1e6},
	})
}
