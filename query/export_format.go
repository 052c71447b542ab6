package query

import (
	"bufio"
	"io"
	"strconv"

	"auditlog/internal/entry"
	"auditlog/internal/fault"
)

// Format is the form of an export.
type Format string

// The formats. A bundle with proofs is made elsewhere.
const (
	CSV    Format = "csv"
	NDJSON Format = "ndjson"
	JSON   Format = "json"
)

// exportBuffer is how many bytes a format collects before it writes.
const exportBuffer = 64 << 10

// NewExportSink writes an export to w in a format. Nothing is written before Begin; after an error, what is still in
// the buffer is never written, so that the output stays without an end. An unknown format is Invalid.
func NewExportSink(f Format, w io.Writer) (ExportSink, error) {
	out := bufio.NewWriterSize(w, exportBuffer)
	switch f {
	case CSV:
		return &csvSink{w: out}, nil
	case NDJSON:
		return &ndjsonSink{w: out}, nil
	case JSON:
		return &jsonSink{w: out}, nil
	}
	return nil, fault.At(fault.Invalid, "?format", "format must be csv, ndjson or json")
}

// ndjsonSink writes one entry a line, and a last line that tells the count.
type ndjsonSink struct {
	w    *bufio.Writer
	line []byte
}

func (s *ndjsonSink) Begin() error { return nil }

func (s *ndjsonSink) Entry(e *entry.Entry) error {
	s.line = append(e.AppendJSON(s.line[:0]), '\n')
	_, err := s.w.Write(s.line)
	return err
}

func (s *ndjsonSink) End(r ExportResult) error {
	s.line = append(appendResult(append(s.line[:0], `{"end":true,`...), r), "}\n"...)
	return finish(s.w, s.line)
}

// jsonSink writes one document.
type jsonSink struct {
	w    *bufio.Writer
	line []byte
	more bool
}

func (s *jsonSink) Begin() error {
	_, err := s.w.WriteString(`{"items":[`)
	return err
}

func (s *jsonSink) Entry(e *entry.Entry) error {
	s.line = s.line[:0]
	if s.more {
		s.line = append(s.line, ',')
	}
	s.more = true
	s.line = e.AppendJSON(append(s.line, '\n'))
	_, err := s.w.Write(s.line)
	return err
}

func (s *jsonSink) End(r ExportResult) error {
	s.line = append(appendResult(append(s.line[:0], "\n],"...), r), "}\n"...)
	return finish(s.w, s.line)
}

// appendResult appends the members "count" and "complete_to".
func appendResult(b []byte, r ExportResult) []byte {
	b = append(b, `"count":`...)
	b = strconv.AppendInt(b, int64(r.Count), 10)
	b = append(b, `,"complete_to":`...)
	return r.CompleteTo.AppendJSON(b)
}

func finish(w *bufio.Writer, end []byte) error {
	if _, err := w.Write(end); err != nil {
		return err
	}
	return w.Flush()
}
