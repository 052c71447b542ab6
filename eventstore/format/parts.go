package format

import (
	"crypto/sha256"
	"encoding/base64"

	"auditlog/eventstore"
)

// Version is the event format that this package writes.
const Version = 1

// Public is the part of an event that stays readable for ever.
type Public struct {
	ID           eventstore.EventID
	Type         eventstore.Type
	EntryID      eventstore.EventID // zero: the event is not about another event's entry
	OccurredAt   *eventstore.Micros // nil: the writer named none, so it is recorded_at
	Action       string
	Severity     string
	Outcome      string
	ActorType    string
	ResourceType string
	Roles        []string // of the emitter
	Masked       []string // JSON pointers of values masked at the door
	Private      [32]byte // commitment to the private part
}

// Private is the part that an erasure makes unreadable. Objects hold canonical JSON; nil means absent, as "" does.
type Private struct {
	Salt           [16]byte
	Actor          Actor
	OnBehalfOf     []Ref
	Resource       Resource
	Related        []Ref
	Message        string
	Source         Source
	RequestID      string
	TraceID        string
	Before         []byte
	After          []byte
	Metadata       []byte
	Subjects       []string
	Emitter        string // sub of the credential that sent it
	IdempotencyKey string
	Reason         string // of an amendment or erasure
}

// Actor is who did it; the type is public.
type Actor struct{ ID, Name, Email, SessionID string }

// Ref names someone or something with its type.
type Ref struct{ Type, ID, Name string }

// Resource is what it was done to; the type is public.
type Resource struct{ ID, Name string }

// Source is where it came from.
type Source struct{ IP, UserAgent, Service, Version string }

// Commit is the commitment to a private part: the SHA-256 of its plain bytes.
func Commit(private []byte) [32]byte { return sha256.Sum256(private) }

// LeafHash is SHA-256(0x00 ‖ leaf data) of RFC 6962 §2.1 over the leaf data of event-format.md: five lines "auditlog/v1",
// tenant, position, recorded_at, public bytes, joined by newlines. public is the plain form.
func LeafHash(tenant eventstore.TenantID, p eventstore.Position, at eventstore.Micros, public []byte) [32]byte {
	b := make([]byte, 1, 128+len(public)) // 0x00: the RFC's prefix of a leaf
	return sha256.Sum256(AppendLeafData(b, tenant, p, at, public))
}

// AppendLeafData appends the leaf data of an event.
func AppendLeafData(b []byte, tenant eventstore.TenantID, p eventstore.Position, at eventstore.Micros, public []byte) []byte {
	b = append(b, "auditlog/v1\n"...)
	b, _ = tenant.AppendText(b)
	b = append(b, '\n')
	b = appendInt(b, int64(p))
	b = append(b, '\n')
	b = at.AppendTo(b)
	b = append(b, '\n')
	return append(b, public...)
}

var b64 = base64.RawURLEncoding
