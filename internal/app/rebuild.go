package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"auditlog/eventstore"
)

// Progress is one line of a rebuild's account. The last one has Finished set and tells how it ended.
type Progress struct {
	Done     int64  `json:"done"` // offsets applied
	Head     int64  `json:"head"` // offsets to apply
	Finished bool   `json:"finished,omitempty"`
	Equal    bool   `json:"equal,omitempty"` // the new generation agreed with the one it replaced
	Detail   string `json:"detail,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Rebuildable are the names that Rebuild takes.
var Rebuildable = []string{"search", "stats", "find"}

// ErrNoProjection names none that can be rebuilt.
var ErrNoProjection = errors.New("projection must be search, stats or find")

// rebuild makes a new generation of a projection beside the live one and swaps. report is told how far it is.
func (p *parts) rebuild(ctx context.Context, name string, report func(Progress)) (Progress, error) {
	step := func(done, head eventstore.Offset) { report(Progress{Done: int64(done), Head: int64(head)}) }
	switch name {
	case "search":
		return p.search.remake(ctx, step)
	case "stats", "find":
		rebuild := p.stats.Rebuild
		if name == "find" {
			rebuild = p.find.Rebuild
		}
		r, err := rebuild(ctx, p.store, step)
		return Progress{Equal: r.Equal, Detail: fmt.Sprintf("%d events", r.Events)}, err
	}
	return Progress{}, ErrNoProjection
}

// Rebuild rebuilds a projection, beside whatever processes run; of a data dir, one that no process uses (else ErrInUse).
func Rebuild(ctx context.Context, cfg Config, log *slog.Logger, name string, report func(Progress)) (last Progress, err error) {
	if err := cfg.Validate(); err != nil {
		return last, err
	}
	p, err := openParts(ctx, cfg.withDefaults(), log)
	if err != nil {
		return last, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	last, err = p.rebuild(ctx, name, report)
	last.Finished = err == nil
	return last, err
}

// Dump writes the content of a projection of a running service in a canonical order, for comparing.
func (a *App) Dump(ctx context.Context, name string, w io.Writer) error {
	switch name {
	case "search":
		return a.parts.search.dump(ctx, w)
	case "stats":
		return a.parts.stats.Dump(ctx, w)
	case "find":
		return a.parts.find.Dump(ctx, w)
	}
	return ErrNoProjection
}

// serveRebuild is POST /ops/rebuild?projection=search: the answer is a Progress per line while it goes on. When the
// client leaves, the rebuild is given up and the live generation stays.
func (a *App) serveRebuild(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("projection")
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	send := func(p Progress) {
		_ = lines.Encode(p) // a client that left ends the context
		_ = http.NewResponseController(w).Flush()
	}
	last, err := a.parts.rebuild(r.Context(), name, send)
	switch {
	case errors.Is(err, ErrNoProjection):
		w.WriteHeader(http.StatusUnprocessableEntity)
		last.Error = err.Error()
	case err != nil:
		a.log.WarnContext(r.Context(), "rebuild failed", "projection", name, "error", err)
		last.Error = err.Error()
	default:
		a.log.InfoContext(r.Context(), "rebuilt", "projection", name, "equal", last.Equal, "detail", last.Detail)
		last.Done, last.Head = 1, 1
	}
	last.Finished = true
	send(last)
}
