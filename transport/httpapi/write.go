package httpapi

import (
	"bytes"
	"net/http"
	"strconv"

	"auditlog/command"
	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// caller is who gives an order.
func (r *request) caller() command.Caller {
	return command.Caller{Tenant: r.tenant, Sub: r.who.Subject, Roles: r.who.RoleNames}
}

// idempotencyKey is the Idempotency-Key header; "" when absent.
func idempotencyKey(h http.Header) (string, error) {
	values := h["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || len(values[0]) > 255 || !visibleASCII(values[0]) {
		return "", fault.New(fault.BadIdempotencyKey, "Idempotency-Key is given once and has 1 to 255 visible ASCII characters")
	}
	return values[0], nil
}

func (s *Server) defaults(r *request, key string) command.Defaults {
	return command.Defaults{Now: s.cfg.Now(), RequestID: r.given, TraceID: traceID(r.Header), IdempotencyKey: key}
}

// parseObject reads a body that must be one JSON object. The document is the caller's to release.
func parseObject(body []byte, limits canon.Limits) (*canon.Doc, error) {
	doc, err := canon.Parse(body, limits)
	if err != nil {
		return nil, err
	}
	if doc.Root().Kind() != canon.Object {
		doc.Release()
		return nil, fault.New(fault.Malformed, "the body must be a JSON object")
	}
	return doc, nil
}

// postEntry records one entry. It is the hot path: one parse, pooled buffers, no reflection.
func (s *Server) postEntry(w http.ResponseWriter, r *request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	buf := borrow()
	defer giveBack(buf)
	if _, err := s.readBody(w, r, buf); err != nil {
		return err
	}
	doc, err := parseObject(buf.Bytes(), command.EntryLimits)
	if err != nil {
		return err
	}
	e, broken := command.ParseEntry(doc.Root(), "", s.defaults(r, key))
	doc.Release()
	if err := fault.Of(broken); err != nil {
		return err
	}
	receipt, err := s.deps.Commands.Record(r.Context(), r.caller(), e)
	if err != nil {
		return err
	}
	buf.Reset() // the entry has copies of all it needs
	writeReceipt(w, &receipt, buf)
	return nil
}

// writeReceipt answers for one entry: whole, or what is left to tell of one that was erased or purged since.
func writeReceipt(w http.ResponseWriter, receipt *command.Receipt, out *bytes.Buffer) {
	h := w.Header()
	location, _ := receipt.ID.AppendText(append(make([]byte, 0, 64), "/api/v1/logs/"...))
	h["Location"] = []string{string(location)}
	if receipt.Replayed {
		h["Idempotency-Replayed"] = []string{"true"}
	}
	b := out.AvailableBuffer()
	switch {
	case receipt.Purged:
		b = append(appendStub(b, receipt), `,"purged":true}`...)
	case receipt.Entry.Erased != nil:
		b = append(appendStub(b, receipt), `,"erased":{"at":"`...)
		b = append(receipt.Entry.Erased.At.AppendTo(b), `","by_event":"`...)
		b, _ = receipt.Entry.Erased.By.AppendText(b)
		b = append(b, `"}}`...)
	default:
		b = receipt.Entry.AppendJSON(b)
	}
	_, _ = out.Write(b)
	writeBytes(w, http.StatusCreated, out.Bytes())
}

func appendStub(b []byte, receipt *command.Receipt) []byte {
	b, _ = receipt.ID.AppendText(append(b, `{"id":"`...))
	return strconv.AppendInt(append(b, `","position":`...), int64(receipt.Position), 10)
}

// postNull does what postEntry does but parse and store: the other side of the benchmark's ratio. It answers as many
// bytes: the client's own members behind those that the server would set.
func (s *Server) postNull(w http.ResponseWriter, r *request) error {
	buf := borrow()
	defer giveBack(buf)
	if _, err := s.readBody(w, r, buf); err != nil {
		return err
	}
	out := borrow()
	defer giveBack(out)
	out.WriteString(`{"id":"018f0000-0000-7000-8000-000000000000","tenant_id":"018f0000-0000-7000-8000-000000000000","position":1,` +
		`"recorded_at":"2026-01-01T00:00:00.000000Z","emitter":{"sub":"bench","roles":["writer"]},"occurred_at":"2026-01-01T00:00:00.000000Z",` +
		`"severity":"INFO","outcome":"success","revision":1,`)
	out.Write(bytes.TrimPrefix(buf.Bytes(), []byte("{")))
	w.Header()["Location"] = []string{"/api/v1/logs/018f0000-0000-7000-8000-000000000000"}
	writeBytes(w, http.StatusCreated, out.Bytes())
	return nil
}

// patchEntry amends one entry.
func (s *Server) patchEntry(w http.ResponseWriter, r *request) error {
	var a command.Amendment
	err := s.withBody(w, r, func(n canon.Node) (broken []fault.Field) {
		a, broken = command.ParseAmendment(n)
		return broken
	})
	if err != nil {
		return err
	}
	e, err := s.deps.Commands.Amend(r.Context(), r.caller(), r.entry, a)
	if err != nil {
		return err
	}
	writeEntry(w, http.StatusCreated, &e)
	return nil
}

// deleteEntry erases one entry.
func (s *Server) deleteEntry(w http.ResponseWriter, r *request) error {
	var reason string
	err := s.withBody(w, r, func(n canon.Node) (broken []fault.Field) {
		reason, broken = command.ParseErasure(n)
		return broken
	})
	if err != nil {
		return err
	}
	id, err := s.deps.Commands.Erase(r.Context(), r.caller(), r.entry, reason)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, eraseView{EventID: id.String()})
}

// withBody reads a small JSON object. parse keeps nothing of the node. A body that is missing where the route allows it
// to be is taken for an empty object, so that the answer names what is required.
func (s *Server) withBody(w http.ResponseWriter, r *request, parse func(canon.Node) []fault.Field) error {
	buf := borrow()
	defer giveBack(buf)
	if _, err := s.readBody(w, r, buf); err != nil {
		return err
	}
	if buf.Len() == 0 {
		buf.WriteString("{}")
	}
	doc, err := parseObject(buf.Bytes(), command.EntryLimits)
	if err != nil {
		return err
	}
	defer doc.Release()
	return fault.Of(parse(doc.Root()))
}
