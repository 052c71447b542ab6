package eventstore

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/uuid"
)

// TenantID names a tenant. The zero value names none and is refused everywhere.
type TenantID uuid.UUID

// EventID is an event's UUIDv7. An entry's id is the id of the event that recorded it.
type EventID uuid.UUID

// Position is a tenant's own dense number of an event, from 1, in commit order. It is what clients, proofs and
// cursors speak. 0 means "before the first".
type Position int64

// Shard is one of a fixed set of append lanes; a tenant belongs to one for ever.
type Shard uint16

// Offset is a shard's dense number of an event, from 1, in commit order. Relay and projections follow it; it is in no
// answer to a client, since it would show a tenant its neighbours' traffic.
type Offset int64

// Micros is a time in microseconds since 1970-01-01T00:00:00Z, the precision that is stored and proved.
type Micros int64

// Type says what happened, e.g. "entry.recorded".
type Type string

// The event types of this version.
const (
	EntryRecorded Type = "entry.recorded"
	EntryAmended  Type = "entry.amended"
	EntryErased   Type = "entry.erased"

	TenantCreated Type = "tenant.created"

	// LifecyclePurged says that every event at or below a position of this tenant is gone for readers.
	LifecyclePurged Type = "lifecycle.purged"
)

// IsEntry tells entry.* events, which make up entries, from the log's events about itself.
func (t Type) IsEntry() bool { return len(t) > 6 && t[:6] == "entry." }

// MaxClockLead is how far the newest event may be ahead of the clock before appends are refused with fault.Clock.
const MaxClockLead = 5 * time.Second

// KeyRef names the leaf of the tenant's key tree that sealed a private part.
type KeyRef struct{ Epoch, Index uint32 }

// Event is one stored row. Public is the packed public part and Private the sealed private part, both as stored
// (package format); Private is never opened here.
type Event struct {
	Tenant     TenantID
	Position   Position
	Shard      Shard
	Offset     Offset
	RecordedAt Micros
	ID         EventID
	Type       Type
	EntryID    EventID // the entry that an amendment or erasure is about; zero for others
	Public     []byte
	Private    []byte
	Key        KeyRef
}

// Idempotency tells a retry from a new entry. Both are HMACs under a key of the tenant (event-format.md).
type Idempotency struct {
	Token       [32]byte // of the key
	Fingerprint [32]byte // of the canonical client JSON
}

// Draft is an event before it has a place in the log.
type Draft struct {
	ID      EventID
	Type    Type
	EntryID EventID // for EntryAmended and EntryErased: must name an entry of the tenant
	Public  []byte
	Private []byte
	Key     KeyRef

	Idempotency *Idempotency // nil: none
}

// Unit is what one caller wants appended, all of one tenant. It is never split over flushes.
type Unit struct {
	Tenant TenantID
	Drafts []Draft
	Atomic bool // a refused draft refuses all; otherwise each draft stands for itself
}

// FlushID makes the retry of a flush whose answer was lost safe.
type FlushID uuid.UUID

// Flush is one write to a shard: the units that were waiting.
type Flush struct {
	ID    FlushID
	Shard Shard
	Units []Unit
}

// Status says what became of a draft.
type Status uint8

// The outcomes of a draft.
const (
	Stored        Status = iota + 1 // appended by this flush
	Replayed                        // its idempotency key was known, same body: Position and ID are the first's
	KeyReused                       // its idempotency key was known, other body: refused
	TargetMissing                   // EntryID names no entry of the tenant: refused
	TargetErased                    // EntryID names an erased entry; ID and Position are the erasure's: refused
	TargetPurged                    // EntryID names a purged entry: refused
	Aborted                         // sound, but its atomic unit was refused
	TenantMissing                   // no such tenant on this shard: refused
)

// Outcome is the store's answer for one draft, in the order of the flush's units and their drafts.
type Outcome struct {
	Status     Status
	ID         EventID
	Position   Position // of the event stored now or first; 0 when refused without one
	RecordedAt Micros
}

// Tenant is a customer whose log is apart from all others.
type Tenant struct {
	ID            TenantID
	Slug          string
	Name          string
	Status        string // "active"
	RetentionDays int
	Shard         Shard
	CreatedAt     Micros
}

// Head is the newest place of a tenant's log. All zero but Shard for a tenant without events.
type Head struct {
	Shard      Shard
	Position   Position
	Offset     Offset
	RecordedAt Micros
	Purged     Position // watermark: nothing at or below it is readable
	Hidden     Position // of the newest event that hid others, an erasure or a purge: what counts them must have come so far
}

// ShardHead is the newest place of a shard.
type ShardHead struct {
	Offset     Offset
	RecordedAt Micros
}

// Purge is one raising of a tenant's watermark and the job that removes what lies below. First is the position after
// the watermark before it, so purges of a tenant tile its log from 1.
type Purge struct {
	ID          EventID // id of the lifecycle.purged event
	Tenant      TenantID
	Position    Position // of that event
	Before      Micros   // recorded_at below which everything goes
	First, Last Position // Last < First when nothing matched
	Removed     int64    // rows removed so far
	Status      string   // "running" or "done"
	RequestedAt Micros
	CompletedAt Micros // 0 while running
}

// Statuses of a Purge.
const (
	PurgeRunning = "running"
	PurgeDone    = "done"
)

var errZeroID = errors.New("the nil UUID names nothing")

// ParseID reads a UUID in its canonical form only: 36 characters, lower case, hyphens, not nil.
func ParseID(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.Nil, errors.New("an id has 36 characters: 8-4-4-4-12 lower-case hexadecimal digits")
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return uuid.Nil, errors.New("an id has hyphens after 8, 12, 16 and 20 digits")
			}
			continue
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return uuid.Nil, errors.New("an id has lower-case hexadecimal digits")
		}
	}
	id, err := uuid.Parse(s)
	if err == nil && id == uuid.Nil {
		err = errZeroID
	}
	return id, err
}

// ParseTenantID is ParseID for tenants.
func ParseTenantID(s string) (TenantID, error) {
	id, err := ParseID(s)
	return TenantID(id), err
}

// ParseEventID is ParseID for events.
func ParseEventID(s string) (EventID, error) {
	id, err := ParseID(s)
	return EventID(id), err
}

func (t TenantID) String() string { return uuid.UUID(t).String() }
func (e EventID) String() string  { return uuid.UUID(e).String() }

// IsZero tells the id that names nothing.
func (t TenantID) IsZero() bool { return t == TenantID{} }

// IsZero tells the id that names nothing.
func (e EventID) IsZero() bool { return e == EventID{} }

// AppendText appends the canonical form, without allocation.
func (t TenantID) AppendText(b []byte) ([]byte, error) { return appendUUID(b, t), nil }

// AppendText appends the canonical form, without allocation.
func (e EventID) AppendText(b []byte) ([]byte, error) { return appendUUID(b, e), nil }

func appendUUID(b []byte, id [16]byte) []byte {
	b = hex.AppendEncode(b, id[:4])
	for _, p := range [...][2]int{{4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		b = append(b, '-')
		b = hex.AppendEncode(b, id[p[0]:p[1]])
	}
	return b
}

// MicrosOf cuts t to microseconds.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time is m as a UTC time.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// timeLayout is RFC 3339 in UTC with six digits, the only form in which times are stored, proved and answered.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// String is RFC 3339 UTC with six digits.
func (m Micros) String() string { return string(m.AppendTo(make([]byte, 0, len(timeLayout)))) }

// AppendTo appends String without allocation.
func (m Micros) AppendTo(b []byte) []byte {
	t := m.Time()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, timeLayout)
	}
	// Package time reads the layout anew for each time, which takes longer than all of this.
	hour, minute, second := t.Clock()
	b = append(appendPair(appendPair(b, year/100), year%100), '-')
	b = append(appendPair(b, int(month)), '-')
	b = append(appendPair(b, day), 'T')
	b = append(appendPair(b, hour), ':')
	b = append(appendPair(b, minute), ':')
	b = append(appendPair(b, second), '.')
	micro := t.Nanosecond() / 1000
	return append(appendPair(appendPair(appendPair(b, micro/10_000), micro/100%100), micro%100), 'Z')
}

func appendPair(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
