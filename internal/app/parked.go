package app

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

// parkedRange is what a projection went past, because no try could apply it.
type parkedRange struct {
	Projection string            `json:"projection"`
	Shard      eventstore.Shard  `json:"shard"`
	From       eventstore.Offset `json:"from"` // exclusive
	To         eventstore.Offset `json:"to"`   // inclusive
	Reason     string            `json:"reason"`
	At         time.Time         `json:"at"`
}

// serveParked lists the parked ranges of all projections.
func (a *App) serveParked(w http.ResponseWriter, r *http.Request) {
	ranges := []parkedRange{}
	for _, runner := range a.runners() {
		all, err := runner.Parked(r.Context())
		if err != nil {
			a.opsError(w, err)
			return
		}
		for _, p := range all {
			ranges = append(ranges, parkedRange{p.Destination, p.Shard, p.Range.From, p.Range.To, p.Reason, p.At.Time()})
		}
	}
	a.opsAnswer(w, map[string]any{"items": ranges})
}

// serveParkedReplay applies the parked ranges of one projection again, after a fix.
func (a *App) serveParkedReplay(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("projection")
	for _, runner := range a.runners() {
		if runner.Name() != name {
			continue
		}
		n, err := runner.Replay(r.Context())
		switch {
		case errors.Is(err, projection.ErrNoReplay):
			http.Error(w, name+" cannot replay single ranges; rebuild it: POST /ops/rebuild?projection="+name, http.StatusConflict)
		case err != nil:
			a.opsError(w, err)
		default:
			a.opsAnswer(w, map[string]any{"projection": name, "replayed": n})
		}
		return
	}
	http.Error(w, "projection must be search, stats or forget, of a process with workers", http.StatusNotFound)
}

func (a *App) runners() []*projection.Runner {
	if a.pipeline == nil {
		return nil
	}
	return a.pipeline.runners
}

func (a *App) opsAnswer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		a.log.Debug("an ops client left", "error", err)
	}
}

func (a *App) opsError(w http.ResponseWriter, err error) {
	a.log.Error("ops request failed", "error", err)
	http.Error(w, "failed; the log says why", http.StatusInternalServerError)
}
