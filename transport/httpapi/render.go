package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/query"
)

var jsonType = []string{"application/json"}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	writeBytes(w, status, body)
	return nil
}

// writeBytes answers with JSON that is made already. A client that is gone needs no answer, so its error is dropped.
func writeBytes(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// writeEntry answers with one entry.
func writeEntry(w http.ResponseWriter, status int, e *entry.Entry) {
	out := borrow()
	defer giveBack(out)
	_, _ = out.Write(e.AppendJSON(out.AvailableBuffer())) // bytes.Buffer never fails
	writeBytes(w, status, out.Bytes())
}

// appendEntries writes entries as a JSON array.
func appendEntries(out *bytes.Buffer, items []entry.Entry) {
	out.WriteByte('[')
	for i := range items {
		if i > 0 {
			out.WriteByte(',')
		}
		_, _ = out.Write(items[i].AppendJSON(out.AvailableBuffer()))
	}
	out.WriteByte(']')
}

func viewCompleteTo(c query.CompleteTo) completeToView {
	v := completeToView{Position: int64(c.Position)}
	if c.Position > 0 {
		v.RecordedAt = timeOrNull(c.RecordedAt)
	}
	return v
}

// timeOrNull is null for the zero time.
func timeOrNull(m eventstore.Micros) *string {
	if m == 0 {
		return nil
	}
	text := m.String()
	return &text
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
