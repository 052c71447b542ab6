package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
		n, err := m.download(ctx, "/api/v1/replay?after=0", m.apis[0].tokens["auditor"])
		if err != nil {
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

// download reads an answer to its end and gives its size.
func (m *serverLine) download(ctx context.Context, path, token string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.apis[0].addr+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("GET %s answers %s", path, resp.Status)
	}
	return io.Copy(io.Discard, resp.Body)
}
