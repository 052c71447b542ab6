package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// rebuildTurns is how often each side of the rebuild takes its turn.
const rebuildTurns = 3

// rebuild compares a rebuild of the search projection with the bare client, which writes the same documents.
func (m *serverLine) rebuild(ctx context.Context) error {
	var ours time.Duration
	var bare float64
	for range rebuildTurns {
		rate, err := m.docs.send(ctx, m.stack, m.Duration)
		if err != nil {
			return err
		}
		bare += rate / rebuildTurns
		took, err := m.workers[0].rebuild(ctx, "search")
		if err != nil {
			return err
		}
		ours += took
	}
	n := float64(rebuildTurns * len(m.docs.ends))
	rebuilt := n / ours.Seconds()
	return m.report(Line{
		Name: "rebuild of the search projection / bare _bulk client", Value: rebuilt / bare, Unit: "ratio", Least: true, Floor: 0.6,
		Cache: "warm", Workers: "on", Connections: bareConns, Samples: int(n), Entries: len(m.docs.ends),
		Sides: map[string]float64{"rebuild_entries_per_s": rebuilt, "bare_entries_per_s": bare},
	})
}

// rebuild has the process rebuild a projection, and gives the time until it was in the old one's place.
func (p *process) rebuild(ctx context.Context, projection string) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.ops+"/ops/rebuild?projection="+projection, nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := json.NewDecoder(resp.Body)
	for {
		var step struct {
			Finished, Equal bool
			Error, Detail   string
		}
		switch err := lines.Decode(&step); {
		case err != nil:
			return 0, fmt.Errorf("the rebuild was cut: %w", err)
		case step.Error != "":
			return 0, errors.New(step.Error)
		case step.Finished && !step.Equal:
			return 0, errors.New("the rebuilt projection differs: " + step.Detail)
		case step.Finished:
			return time.Since(start), nil
		}
	}
}
