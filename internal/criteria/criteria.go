// Package criteria is what a reader may ask of entries: the filters of the HTTP contract and the parsed text query, with
// one meaning for every back end.
//
// An index answers a Criteria by its own means (projection/search); Match answers it for one entry in memory, for
// streams, exports, and to check hits whose entry changed. A differential test keeps them equal.
package criteria

import (
	"auditlog/eventstore"
	"auditlog/internal/text"
)

// Kind selects which events count as entries of an answer.
type Kind string

// The kinds of the HTTP contract.
const (
	Entries Kind = "entries" // entry.recorded only: the default
	Access  Kind = "access"  // access.*, tenant.* and lifecycle.*
	All     Kind = "all"
)

// Metadata asks for a leaf of metadata (or of an amendment's) whose value, as text, equals Value. Path is the keys
// joined by dots; elements of arrays are met by the array's own path.
type Metadata struct{ Path, Value string }

// Criteria is a conjunction; empty fields do not restrict. Lists are alternatives.
type Criteria struct {
	Kind          Kind // "" is Entries
	Text          text.Query
	ActorID       string
	ActorType     string
	Actions       []string
	ResourceTypes []string
	ResourceID    string
	Severities    []string // upper case
	Outcomes      []string
	RequestID     string
	SessionID     string
	IP            string
	Metadata      []Metadata
	From          *eventstore.Micros // inclusive
	To            *eventstore.Micros // exclusive
	RecordedTime  bool               // From and To go by recorded_at, not occurred_at
}
