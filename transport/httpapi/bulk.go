package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"auditlog/command"
	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// maxErrors bounds the broken rules that one answer lists.
const maxErrors = 100

// maxKey bounds, in bytes, what a pointer shows of a key.
const maxKey = 64

// postBulk records up to 1,000 entries.
func (s *Server) postBulk(w http.ResponseWriter, r *request) error {
	if len(r.Header["Idempotency-Key"]) > 0 {
		return fault.New(fault.Invalid, "Idempotency-Key is for single entries; entries of a bulk carry idempotency_key")
	}
	atomic := r.args.text("mode") != "partial"
	place, err := s.place(r, atomic)
	if err != nil {
		return err
	}
	defer place.End() // whatever is wrong with this bulk, those behind it must not pass it
	buf := borrow()
	defer giveBack(buf)
	mediaType, err := s.readBody(w, r, buf)
	if err != nil {
		return err
	}
	var items []command.BulkItem
	if mediaType == ndjsonType {
		items, err = readLines(buf.Bytes(), s.defaults(r, ""), atomic)
	} else {
		items, err = readEntries(buf.Bytes(), s.defaults(r, ""))
	}
	if err != nil {
		return err
	}
	if atomic {
		if err := allSound(items); err != nil {
			return err
		}
	}
	if err := s.chargeEntries(r, sound(items)); err != nil {
		return err
	}
	var results []command.BulkResult
	if place == nil {
		results, err = s.deps.Commands.Bulk(r.Context(), r.caller(), items, atomic)
	} else {
		results, err = s.deps.Commands.BulkInSequence(r.Context(), r.caller(), items, place)
	}
	if err != nil {
		return bounded(err)
	}
	buf.Reset() // the entries have copies of all they need
	status, answer := http.StatusCreated, buf.AvailableBuffer()
	if atomic {
		answer = appendBulk(answer, results)
	} else {
		status = http.StatusMultiStatus
		if answer, err = appendPartial(answer, results); err != nil {
			return err
		}
	}
	writeBytes(w, status, answer)
	return nil
}

// place is the bulk's place in a sequence, as its header says; nil without one.
func (s *Server) place(r *request, atomic bool) (*command.Place, error) {
	values := r.Header[sequenceHeader.name]
	if len(values) == 0 {
		return nil, nil //nolint:nilnil // a nil Place is that of a bulk without a sequence
	}
	if atomic {
		return nil, fault.At(fault.Invalid, "?mode", "a bulk of a sequence needs mode=partial")
	}
	name, number, _ := strings.Cut(values[0], "/")
	id, err := uuid.Parse(name)
	n, wrong := strconv.ParseUint(number, 10, 31)
	if len(values) > 1 || len(name) != 36 || err != nil || wrong != nil {
		return nil, fault.New(fault.Invalid, "Bulk-Sequence is given once: the UUID of the sequence, a slash, and the bulk's number in it, from 0")
	}
	return s.deps.Commands.Place(r.tenant, command.SequenceID(id), int(n)), nil
}

const ndjsonType = "application/x-ndjson"

// readEntries reads {"entries":[…]}.
func readEntries(body []byte, d command.Defaults) ([]command.BulkItem, error) {
	doc, err := parseObject(body, command.BulkLimits)
	if err != nil {
		return nil, err
	}
	defer doc.Release()
	list := doc.Root().Get("entries")
	for key := range doc.Root().Members() {
		if string(key) != "entries" {
			return nil, fault.At(fault.UnknownField, canon.JoinPointer("", string(key[:min(len(key), maxKey)])), "a bulk holds entries, nothing else")
		}
	}
	if list.Kind() != canon.Array {
		return nil, fault.At(fault.Invalid, "/entries", "is required: a list of entries")
	}
	if err := countEntries(list.Len()); err != nil {
		return nil, err
	}
	nodes := make([]canon.Node, 0, list.Len())
	for n := range list.Elems() {
		nodes = append(nodes, n)
	}
	items := make([]command.BulkItem, len(nodes))
	inTwo(len(nodes), func(from, to int) {
		for i := from; i < to; i++ {
			items[i] = readItem(nodes[i], i, d)
		}
	})
	return items, nil
}

// twoHands is the number of entries from which on two goroutines read a bulk.
const twoHands = 256

// inTwo does a range at once, or either half in a goroutine of its own. A panic is the caller's in any case.
func inTwo(n int, do func(from, to int)) {
	if n < twoHands {
		do(0, n)
		return
	}
	var caught any
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() { caught = recover() }()
		do(0, n/2)
	})
	func() {
		defer wg.Wait() // after a panic, too: the other half still reads
		do(n/2, n)
	}()
	if caught != nil {
		panic(caught)
	}
}

// readLines reads NDJSON: one entry a line, empty lines skipped; pointers count entries as if they stood in a list. A line
// that is not JSON spoils an atomic bulk, and only itself in a partial one.
func readLines(body []byte, d command.Defaults, atomic bool) ([]command.BulkItem, error) {
	items := make([]command.BulkItem, 0, min(bytes.Count(body, []byte{'\n'})+1, command.MaxBulk))
	for line := range bytes.Lines(body) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if len(items) == command.MaxBulk {
			return nil, countEntries(command.MaxBulk + 1)
		}
		doc, err := canon.Parse(line, command.EntryLimits)
		if err == nil && doc.Root().Kind() != canon.Object {
			doc.Release()
			err = fault.New(fault.Malformed, "a line must be a JSON object")
		}
		if err != nil {
			refused := inItem(faultOf(err), len(items))
			if atomic {
				return nil, refused
			}
			items = append(items, command.BulkItem{Problem: refused})
			continue
		}
		items = append(items, readItem(doc.Root(), len(items), d))
		doc.Release()
	}
	return items, countEntries(len(items))
}

func countEntries(n int) error {
	if n < 1 || n > command.MaxBulk {
		return fault.At(fault.Invalid, "/entries", "a bulk holds 1 to "+strconv.Itoa(command.MaxBulk)+" entries")
	}
	return nil
}

func entryPointer(i int) string { return "/entries/" + strconv.Itoa(i) }

func readItem(n canon.Node, i int, d command.Defaults) command.BulkItem {
	e, broken := command.ParseEntry(n, entryPointer(i), d)
	if e != nil {
		return command.BulkItem{Entry: e}
	}
	return command.BulkItem{Problem: faultOf(fault.Of(broken))}
}

// inItem moves an error about a line to its place in the bulk.
func inItem(f *fault.Error, i int) *fault.Error {
	moved := &fault.Error{Kind: f.Kind, Detail: f.Detail}
	for _, field := range f.Fields {
		field.Pointer = entryPointer(i) + field.Pointer
		moved.Fields = append(moved.Fields, field)
	}
	if len(moved.Fields) == 0 {
		moved.Fields = []fault.Field{{Kind: f.Kind, Pointer: entryPointer(i), Detail: f.Detail}}
	}
	return moved
}

// allSound joins what is wrong with any item.
func allSound(items []command.BulkItem) error {
	var broken []fault.Field
	for _, item := range items {
		if item.Problem != nil {
			broken = append(broken, item.Problem.Fields...)
		}
	}
	return bounded(fault.Of(broken))
}

// sound counts the items that go on to be stored.
func sound(items []command.BulkItem) (n int) {
	for i := range items {
		if items[i].Problem == nil {
			n++
		}
	}
	return n
}

// bounded keeps the first of very many broken rules; the detail still counts all.
func bounded(err error) error {
	var f *fault.Error
	if errors.As(err, &f) && len(f.Fields) > maxErrors {
		short := *f
		short.Fields = f.Fields[:maxErrors]
		return &short
	}
	return err
}

// appendBulk appends the JSON of a bulkView.
func appendBulk(b []byte, results []command.BulkResult) []byte {
	b = append(b, `{"items":[`...)
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = append(appendStored(b, &results[i]), '}')
	}
	return append(b, `]}`...)
}

// appendPartial appends the JSON of a partialView.
func appendPartial(b []byte, results []command.BulkResult) ([]byte, error) {
	b = append(b, `{"items":[`...)
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		r := &results[i]
		if r.Problem == nil {
			b = append(appendStored(append(b, `{"status":201,`...), r), '}')
			continue
		}
		p, _, _ := answerTo(r.Problem)
		item, err := json.Marshal(partialItemView{Status: p.Status, Problem: &p})
		if err != nil {
			return nil, fmt.Errorf("encode an answer: %w", err)
		}
		b = append(b, item...)
	}
	return append(b, `]}`...), nil
}

func appendStored(b []byte, r *command.BulkResult) []byte {
	b, _ = r.ID.AppendText(append(b, `"id":"`...))
	b = strconv.AppendInt(append(b, `","position":`...), int64(r.Position), 10)
	return strconv.AppendBool(append(b, `,"replayed":`...), r.Replayed)
}
