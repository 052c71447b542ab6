package opensearch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"sync"
	"unicode/utf8"

	"auditlog/eventstore"
	"auditlog/internal/canon"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
)

// document is an entry as the index holds it.
type document struct {
	id         eventstore.EventID
	tenant     eventstore.TenantID
	kind       string
	shard      eventstore.Shard
	offset     eventstore.Offset
	position   eventstore.Position
	version    eventstore.Position // of the newest event that it holds
	occurredAt eventstore.Micros
	recordedAt eventstore.Micros
	erased     bool
	terms      []byte  // one after the other, each once
	ends       []int32 // of the terms
	words      []byte  // joined by spaces, each once
}

// Kinds of documents.
const (
	kindEntries = "entries"
	kindAccess  = "access"
)

func newDocument(e *entry.Entry, shard eventstore.Shard) document {
	d := document{
		id: e.ID, tenant: e.Tenant, kind: kindEntries, shard: shard, offset: e.Offset, position: e.Position, version: e.Newest,
		occurredAt: e.OccurredAt, recordedAt: e.RecordedAt, erased: e.Erased != nil,
	}
	if criteria.KindOf(e.Type) == criteria.Access {
		d.kind = kindAccess
	}
	c := composers.Get().(*composer)
	defer composers.Put(c)
	c.compose(e)
	text := make([]byte, 0, len(c.terms)+len(c.words))
	text = append(append(text, c.terms...), c.words...)
	d.terms, d.words = text[:len(c.terms):len(c.terms)], text[len(c.terms):]
	d.ends = append(make([]int32, 0, len(c.ends)), c.ends...)
	return d
}

// maxTerm bounds a term in bytes. A longer one is cut and ends in a hash; it is always longer than maxTerm, so that
// no short term equals it.
const maxTerm = 256

// appendTerm appends field=value. What is = or \ in the field is escaped: no two pairs of field and value are alike.
func appendTerm[T string | []byte](b []byte, field, value T) []byte {
	start := len(b)
	for i := range len(field) {
		if field[i] == '=' || field[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, field[i])
	}
	b = append(append(b, '='), value...)
	if len(b)-start <= maxTerm {
		return b
	}
	sum := sha256.Sum256(b[start:])
	cut := start + maxTerm - 32
	for !utf8.RuneStart(b[cut]) {
		cut--
	}
	return hex.AppendEncode(append(b[:cut], '~'), sum[:])
}

// appendSource appends the document as one line of JSON.
func (d *document) appendSource(b []byte) []byte {
	b = append(b, `{"tenant":"`...)
	b, _ = d.tenant.AppendText(b) // never fails
	b = append(append(b, `","kind":"`...), d.kind...)
	b = append(b, '"')
	for _, f := range [...]struct {
		name  string
		value int64
	}{
		{"position", int64(d.position)}, {"version", int64(d.version)}, {"shard", int64(d.shard)}, {"offset", int64(d.offset)},
		{"occurred_at", int64(d.occurredAt)}, {"recorded_at", int64(d.recordedAt)}, {"digest", int64(d.digest())},
	} {
		b = append(append(append(b, ',', '"'), f.name...), '"', ':')
		b = strconv.AppendInt(b, f.value, 10)
	}
	b = append(b, `,"terms":[`...)
	for i := range d.ends {
		if i > 0 {
			b = append(b, ',')
		}
		b = canon.AppendBytes(b, d.term(i))
	}
	b = append(b, `],"words":`...)
	return append(canon.AppendBytes(b, d.words), '}', '\n')
}

// term is the ith term.
func (d *document) term(i int) []byte {
	start := int32(0)
	if i > 0 {
		start = d.ends[i-1]
	}
	return d.terms[start:d.ends[i]]
}

// digest is 31 bits of a hash over all that makes the document, for comparing generations.
func (d *document) digest() int32 {
	scratch := digested.Get().(*[]byte)
	defer digested.Put(scratch)
	b := (*scratch)[:0]
	for _, v := range [...]int64{int64(d.position), int64(d.version), int64(d.occurredAt), int64(d.recordedAt), int64(len(d.ends))} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	b = append(binary.BigEndian.AppendUint64(b, uint64(len(d.kind))), d.kind...)
	for i := range d.ends {
		t := d.term(i)
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(t))), t...)
	}
	b = append(b, d.words...)
	*scratch = b
	sum := sha256.Sum256(b)
	return int32(binary.BigEndian.Uint32(sum[:]) >> 1)
}

// digested holds what digests are made of, of type *[]byte.
var digested = sync.Pool{New: func() any { return new([]byte) }}
