package criteria

import (
	"slices"

	"auditlog/internal/entry"
)

// Clause asks that a field has one of the values.
type Clause struct {
	Field  string // Action …, or MetadataPrefix and a path
	Values []string
}

// Clauses are the filters by equality, all of which must hold, in a fixed order of fields.
func (c *Criteria) Clauses() []Clause {
	var out []Clause
	one := func(field, value string) {
		if value != "" {
			out = append(out, Clause{field, []string{value}})
		}
	}
	list := func(field string, values []string) {
		if len(values) > 0 {
			out = append(out, Clause{field, values})
		}
	}
	one(ActorID, c.ActorID)
	one(ActorType, c.ActorType)
	list(Action, c.Actions)
	list(ResourceType, c.ResourceTypes)
	one(ResourceID, c.ResourceID)
	list(Severity, c.Severities)
	list(Outcome, c.Outcomes)
	one(RequestID, c.RequestID)
	one(SessionID, c.SessionID)
	one(IP, c.IP)
	for _, m := range c.Metadata { // here "" is a value to look for
		out = append(out, Clause{MetadataPrefix + m.Path, []string{m.Value}})
	}
	return out
}

// Match tells whether the entry meets all criteria. It is safe for concurrent use and does no I/O.
func (c *Criteria) Match(e *entry.Entry) bool {
	return c.matchKind(e) && c.matchTime(e) && c.matchFacets(e) && c.matchMetadata(e) && matchText(c.Text, e)
}

func (c *Criteria) matchKind(e *entry.Entry) bool {
	kind := KindOf(e.Type)
	switch c.Kind {
	case "", Entries:
		return kind == Entries
	case All:
		return kind != ""
	}
	return kind == c.Kind
}

func (c *Criteria) matchTime(e *entry.Entry) bool {
	at := e.OccurredAt
	if c.RecordedTime {
		at = e.RecordedAt
	}
	return (c.From == nil || at >= *c.From) && (c.To == nil || at < *c.To)
}

func (c *Criteria) matchFacets(e *entry.Entry) bool {
	one := func(want, have string) bool { return want == "" || want == have }
	list := func(want []string, have string) bool {
		return len(want) == 0 || have != "" && slices.Contains(want, have)
	}
	pub, priv := &e.Public, &e.Private
	return one(c.ActorID, priv.Actor.ID) && one(c.ActorType, pub.ActorType) && list(c.Actions, pub.Action) &&
		list(c.ResourceTypes, pub.ResourceType) && one(c.ResourceID, priv.Resource.ID) && list(c.Severities, pub.Severity) &&
		list(c.Outcomes, pub.Outcome) && one(c.RequestID, priv.RequestID) && one(c.SessionID, priv.Actor.SessionID) &&
		one(c.IP, priv.Source.IP)
}

func (c *Criteria) matchMetadata(e *entry.Entry) bool {
	if len(c.Metadata) == 0 {
		return true
	}
	found := make([]bool, len(c.Metadata))
	left := len(found)
	Leaves(e, func(path, value []byte) {
		for i, m := range c.Metadata {
			if !found[i] && m.Path == string(path) && m.Value == string(value) {
				found[i] = true
				left--
			}
		}
	})
	return left == 0
}
