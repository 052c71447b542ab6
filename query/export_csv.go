package query

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"auditlog/internal/canon"
	"auditlog/internal/entry"
)

// csvColumns are the columns in order: the fields of an entry, scalars inside objects with dots. Cells of lists and of
// free objects hold JSON. type is the event's type.
var csvColumns = []string{
	"id", "tenant_id", "type", "position", "recorded_at", "emitter.sub", "emitter.roles", "occurred_at", "action",
	"actor.type", "actor.id", "actor.name", "actor.email", "actor.session_id", "on_behalf_of",
	"resource.type", "resource.id", "resource.name", "related", "severity", "outcome", "message",
	"source.ip", "source.user_agent", "source.service", "source.version", "request_id", "trace_id",
	"before", "after", "changes", "metadata", "idempotency_key", "subjects", "revision", "amendments",
	"erased.at", "erased.by_event",
}

const csvType = 2 // index of "type", which the JSON form of an ordinary entry leaves out

// csvColumn is where a column's value lies in the JSON form.
type csvColumn struct{ outer, inner string }

var csvPlaces = func() []csvColumn {
	places := make([]csvColumn, len(csvColumns))
	for i, name := range csvColumns {
		places[i].outer, places[i].inner, _ = strings.Cut(name, ".")
	}
	return places
}()

// csvSink writes RFC 4180: CRLF, a header row, one row an entry. Cells are taken from the entry's JSON form, so that both
// say the same. A cell that a spreadsheet would take for a formula gets a ' before it and is quoted.
type csvSink struct {
	w    *bufio.Writer
	json []byte
	row  []byte
}

func (s *csvSink) Begin() error {
	_, err := s.w.WriteString(strings.Join(csvColumns, ",") + "\r\n")
	return err
}

func (s *csvSink) Entry(e *entry.Entry) error {
	s.json = e.AppendJSON(s.json[:0])
	doc, err := canon.Parse(s.json, canon.Limits{FoldDepth: -1})
	if err != nil {
		return fmt.Errorf("export entry %s: %w", e.ID, err)
	}
	defer doc.Release()
	s.row = s.row[:0]
	for i, place := range csvPlaces {
		if i > 0 {
			s.row = append(s.row, ',')
		}
		if i == csvType {
			s.row = append(s.row, e.Type...)
			continue
		}
		s.row = appendCell(s.row, valueAt(doc.Root(), place))
	}
	s.row = append(s.row, "\r\n"...)
	_, err = s.w.Write(s.row)
	return err
}

func (s *csvSink) End(ExportResult) error { return s.w.Flush() }

// valueAt is a string's content or any other value's JSON; nil when it is absent.
func valueAt(root canon.Node, place csvColumn) []byte {
	n := root.Get(place.outer)
	if place.inner != "" && n.Valid() {
		n = n.Get(place.inner)
	}
	switch {
	case !n.Valid() || n.Kind() == canon.Null:
		return nil
	case n.Kind() == canon.String:
		return n.Bytes()
	}
	return n.Raw()
}

// appendCell appends one cell.
func appendCell(dst, value []byte) []byte {
	formula := isFormula(value)
	if !formula && !needsQuotes(value) {
		return append(dst, value...)
	}
	dst = append(dst, '"')
	if formula {
		dst = append(dst, '\'')
	}
	for _, c := range value {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// isFormula tells values that spreadsheets evaluate, by their first character (OWASP, "CSV Injection"), its full-width
// forms included. Spaces before it do not count, since a spreadsheet may trim them.
func isFormula(value []byte) bool {
	value = bytes.TrimLeft(value, " ")
	if len(value) == 0 {
		return false
	}
	switch value[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n':
		return true
	}
	if len(value) < 3 {
		return false
	}
	switch string(value[:3]) {
	case "＝", "＋", "－", "＠":
		return true
	}
	return false
}

// needsQuotes tells values that would not stay one cell, semicolons and tabs included since some spreadsheets split
// there.
func needsQuotes(value []byte) bool {
	for _, c := range value {
		switch c {
		case '"', ',', ';', '\t', '\r', '\n':
			return true
		}
	}
	return len(value) > 0 && (value[0] == ' ' || value[len(value)-1] == ' ')
}
