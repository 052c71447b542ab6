package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"net/http"
	"strconv"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/query"
)

// maxExports is how many exports of a tenant may run at once.
const maxExports = 2

// exportSlots counts running exports. The zero value is ready.
type exportSlots struct {
	mu      sync.Mutex
	running map[eventstore.TenantID]int // guarded by mu
}

func (e *exportSlots) take(tenant eventstore.TenantID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running[tenant] >= maxExports {
		return tooManyAtOnce("exports-at-once", "two exports of this tenant are running already", maxExports, 5*time.Second)
	}
	if e.running == nil {
		e.running = map[eventstore.TenantID]int{}
	}
	e.running[tenant]++
	return nil
}

func (e *exportSlots) leave(tenant eventstore.TenantID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running[tenant]--; e.running[tenant] == 0 {
		delete(e.running, tenant)
	}
}

// Media types of the formats, and the fixed names under which browsers store them.
var exportTypes = map[string]string{"csv": "text/csv; charset=utf-8", "ndjson": ndjsonType, "json": "application/json"}

// export streams every match. What goes wrong before the first byte is a problem; after it the connection is cut, so
// that no client can take a part for the whole.
func (s *Server) export(w http.ResponseWriter, r *request) error {
	c, err := r.args.criteria()
	if err != nil {
		return err
	}
	format := r.args.text("format")
	if err := s.exports.take(r.tenant); err != nil {
		return err
	}
	defer s.exports.leave(r.tenant)

	out := &pacedWriter{w: w, control: http.NewResponseController(w), timeout: s.cfg.WriteTimeout}
	h := w.Header()
	h.Set("Content-Type", exportTypes[format])
	h.Set("Content-Disposition", `attachment; filename="auditlog-export.`+format+`"`)
	if format == "csv" {
		h.Set("Trailer", "X-Export-Count, Digest")
		out.digest = sha256.New()
	}
	sink, err := query.NewExportSink(query.Format(format), out)
	if err != nil {
		return err
	}
	result, err := s.deps.Queries.Export(r.Context(), r.reader(), query.ExportRequest{
		Criteria: c, MinPosition: eventstore.Position(r.args.integer("min_position")), Wait: r.args.duration("wait"),
	}, sink)
	if err != nil {
		return err
	}
	if format == "csv" {
		h.Set("X-Export-Count", strconv.Itoa(result.Count))
		h.Set("Digest", "sha-256="+base64.StdEncoding.EncodeToString(out.digest.Sum(nil)))
	}
	return nil
}

// replay streams every stored event of the tenant.
func (s *Server) replay(w http.ResponseWriter, r *request) error {
	out := &pacedWriter{w: w, control: http.NewResponseController(w), timeout: s.cfg.WriteTimeout}
	w.Header().Set("Content-Type", ndjsonType)
	_, _, err := s.deps.Queries.Replay(r.Context(), r.tenant, eventstore.Position(r.args.integer("after")), out)
	return err
}

// pacedWriter gives every write its own deadline: a long answer may take as long as its reader keeps reading.
type pacedWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	digest  hash.Hash // nil: none
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(p.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	if p.digest != nil {
		p.digest.Write(b)
	}
	return p.w.Write(b)
}
